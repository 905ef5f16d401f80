from __future__ import annotations

from actstore.errors import ActstoreError, run_reporting


def test_a_message_is_one_line_whatever_it_contains(capsys):
    """Names come from files: a line separator or an escape sequence in one must not reach the terminal."""

    def fail():
        raise ActstoreError("paradigm a\u2028b\x1b[31m\nc\x85 d, Übung 日本")

    assert run_reporting(fail, "actstore") == 2
    assert capsys.readouterr().err == "actstore: paradigm a\\u2028b\\x1b[31m\\nc\\x85 d, Übung 日本\n"
