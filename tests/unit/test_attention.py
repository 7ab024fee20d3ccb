"""What is concluded when the first compiled call fails."""

import pytest
import torch

from gdyn.networks.attention import _Compiler


@pytest.fixture
def compile_to(monkeypatch, caplog):
    """Let torch.compile give something that raises these one after the other, and then works."""
    caplog.set_level("INFO")

    def prepare(*errors):
        left = list(errors)

        def compiled(value):
            if left:
                raise left.pop(0)
            return f"compiled {value}"

        monkeypatch.setattr(torch, "compile", lambda function, dynamic: compiled)

    return prepare


def plain(value):
    if value < 0:
        raise IndexError("out of range")
    return f"plain {value}"


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            RuntimeError("no compiler found\nand more"),
            "not available (no compiler found): RuntimeError; continuing",
        ),
        (NotImplementedError(), "not available: NotImplementedError; continuing"),
        (AssertionError("\n"), "not available: AssertionError; continuing"),
    ],
)
def test_where_there_is_no_compiler_the_plain_function_does(compile_to, caplog, error, said):
    compile_to(error)
    call = _Compiler(plain)
    assert [call(1), call(2)] == ["plain 1", "plain 2"]
    assert caplog.text.count("torch.compile is") == caplog.text.count(said) == 1


def test_out_of_memory_says_nothing_about_the_compiler(compile_to, caplog):
    compile_to(torch.OutOfMemoryError("too large"), RuntimeError("broken"))
    call = _Compiler(plain)
    with pytest.raises(torch.OutOfMemoryError, match="too large"):
        call(1)
    assert not caplog.text
    assert call(1) == "plain 1"
    assert "not available (broken): RuntimeError" in caplog.text


def test_wrong_arguments_say_nothing_about_the_compiler(compile_to, caplog):
    compile_to(RuntimeError("cannot trace this"))
    call = _Compiler(plain)
    with pytest.raises(IndexError, match="out of range"):
        call(-1)
    assert not caplog.text
    assert [call(1), call(2)] == ["compiled 1", "compiled 2"]
