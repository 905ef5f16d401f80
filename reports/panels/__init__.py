"""Our panels: which tables become which figures, with which words. Each is registered by `reports.registry.panel`."""
