# Reference numbers of lme4 for the designs that `designs.py` wrote to a folder; prints JSON.
suppressMessages({ library(lmerTest); library(jsonlite) })
folder <- commandArgs(trailingOnly = TRUE)[1]
formulas <- list(
  sleep = y ~ day + (day | subject),
  penicillin = y ~ 1 + (1 | plate) + (1 | sample),
  words = y ~ condition * upos + x + (1 | word_type) + (1 | document),
  slopes = y ~ condition + (1 | word_type) + (condition | document),
  singular = y ~ x + (1 | word_type) + (1 | document)
)
control <- lmerControl(optimizer = "bobyqa", optCtrl = list(rhoend = 1e-9, maxfun = 1e5))
found <- lapply(names(formulas), function(name) {
  data <- read.csv(file.path(folder, paste0(name, ".csv")))
  model <- suppressMessages(lmer(formulas[[name]], data = data, REML = TRUE, control = control))
  table <- coef(summary(model))
  list(
    digest = readLines(file.path(folder, paste0(name, ".digest")), warn = FALSE),
    effects = rownames(table), estimate = table[, "Estimate"], standard_error = table[, "Std. Error"], df = table[, "df"],
    covariances = lapply(VarCorr(model), function(v) unname(as.matrix(v)[, , drop = FALSE])),
    residual_variance = sigma(model)^2, log_likelihood = as.numeric(logLik(model)),
    lme4 = as.character(packageVersion("lme4"))
  )
})
names(found) <- names(formulas)
cat(toJSON(found, digits = NA, auto_unbox = FALSE, pretty = TRUE))
