#!/usr/bin/env python3
"""Continues a story by the C interface, with nothing but Python's own ctypes.

    cargo build --release --example llm_rs2_c
    examples/embed.py "Once upon a time" [MODEL]

LLM_RS2_LIBRARY names the library, if it is not where cargo puts it.
"""

import ctypes as c
import math
import os
import sys
from pathlib import Path

LIBRARY = Path(__file__).parent.parent / "target/release/examples/libllm_rs2_c.so"
API_VERSION = 2
Callback = c.CFUNCTYPE(c.c_int32, c.POINTER(c.c_char), c.c_size_t, c.c_void_p)


class Error(c.Structure):
    _fields_ = [("code", c.c_int32), ("message", c.c_char * 1020)]


class LoadOptions(c.Structure):
    _fields_ = [
        ("struct_size", c.c_size_t),
        ("model_path", c.c_char_p),
        ("backend", c.c_char_p),
        ("device", c.c_char_p),
        ("weight_dtype", c.c_char_p),
        ("kv_type", c.c_char_p),
        ("cache", c.c_char_p),
        ("threads", c.c_uint32),
        ("max_seq_len", c.c_uint32),
        ("no_memory_check", c.c_uint32),
        ("reserved", c.c_uint32),
    ]


class GenerateOptions(c.Structure):
    _fields_ = [
        ("struct_size", c.c_size_t),
        ("prompt", c.c_char_p),
        ("system", c.c_char_p),
        ("stop", c.POINTER(c.c_char_p)),
        ("stop_count", c.c_size_t),
        ("seed", c.c_uint64),
        ("request", c.c_uint64),
        ("chat", c.c_uint32),
        ("max_tokens", c.c_uint32),
        ("ignore_eos", c.c_uint32),
        ("repetition_window", c.c_uint32),
        ("top_k", c.c_int32),
        ("temperature", c.c_float),
        ("top_p", c.c_float),
        ("min_p", c.c_float),
        ("repetition_penalty", c.c_float),
        ("frequency_penalty", c.c_float),
        ("presence_penalty", c.c_float),
        ("reserved", c.c_uint32),
    ]


class Result(c.Structure):
    _fields_ = [
        ("finish", c.c_int32),
        ("prompt_tokens", c.c_uint32),
        ("generated_tokens", c.c_uint32),
        ("reserved", c.c_uint32),
        ("prefill_seconds", c.c_double),
        ("decode_seconds", c.c_double),
    ]


class Model:
    """A loaded model."""

    def __init__(self, library: c.CDLL, path: str | None = None) -> None:
        self.library = library
        if library.llm_rs2_api_version() != API_VERSION:
            raise RuntimeError(f"the library's interface has another version than {API_VERSION}")
        # Numbers of 64 bits would be cut to an int otherwise.
        library.llm_rs2_tokenize.argtypes = [
            c.c_uint64,
            c.c_char_p,
            c.c_int32,
            c.POINTER(c.c_uint32),
            c.c_size_t,
            c.POINTER(c.c_size_t),
            c.POINTER(Error),
        ]
        library.llm_rs2_generate.argtypes = [
            c.c_uint64,
            c.POINTER(GenerateOptions),
            Callback,
            c.c_void_p,
            c.POINTER(Result),
            c.POINTER(Error),
        ]
        library.llm_rs2_free.argtypes = [c.c_uint64, c.POINTER(Error)]
        for init in (library.llm_rs2_load_options_init, library.llm_rs2_generate_options_init):
            init.argtypes, init.restype = [c.c_void_p, c.c_size_t], None
        options = LoadOptions()
        library.llm_rs2_load_options_init(c.byref(options), c.sizeof(options))
        options.model_path = path.encode() if path else None
        self.number = c.c_uint64()
        self.check(lambda error: library.llm_rs2_load(c.byref(options), c.byref(self.number), error))

    def check(self, call) -> None:
        """Makes a call; what it refuses is raised."""
        error = Error()
        if call(c.byref(error)) != 0:
            raise RuntimeError(error.message.decode())

    def tokenize(self, text: str) -> list[int]:
        """The ids of a text, as the model sees it."""
        ids, count = (c.c_uint32 * 4096)(), c.c_size_t()
        self.check(
            lambda error: self.library.llm_rs2_tokenize(
                self.number, text.encode(), 1, ids, len(ids), c.byref(count), error
            )
        )
        return ids[: count.value]

    def generate(self, prompt: str, max_tokens: int, receive, temperature: float = math.nan) -> Result:
        """Generates; `receive` gets each piece of text and says whether to go on. What it raises ends the text."""
        options, result = GenerateOptions(), Result()
        self.library.llm_rs2_generate_options_init(c.byref(options), c.sizeof(options))
        options.prompt, options.max_tokens, options.temperature = prompt.encode(), max_tokens, temperature
        raised = []

        # Python would print what leaves a callback, and go on.
        @Callback
        def callback(text, length, _) -> int:
            try:
                return 1 if receive(c.string_at(text, length).decode()) else 0
            except Exception as error:  # noqa: BLE001 (whatever it is, it is raised again below)
                raised.append(error)
                return 0

        self.check(
            lambda error: self.library.llm_rs2_generate(
                self.number, c.byref(options), callback, None, c.byref(result), error
            )
        )
        if raised:
            raise raised[0]
        return result

    def free(self) -> None:
        """Forgets the model."""
        self.check(lambda error: self.library.llm_rs2_free(self.number, error))


def main() -> int:
    if len(sys.argv) < 2:
        print("usage: embed.py PROMPT [MODEL]", file=sys.stderr)
        return 2
    path = os.environ.get("LLM_RS2_LIBRARY", str(LIBRARY))
    try:
        library = c.CDLL(path)
    except OSError as error:
        print(f"error: cannot load the library: {error}; make it with cargo build --release --example llm_rs2_c", file=sys.stderr)
        return 1
    try:
        model = Model(library, sys.argv[2] if len(sys.argv) > 2 else None)
        print(f"{len(model.tokenize(sys.argv[1]))} tokens in the prompt", file=sys.stderr)

        def show(piece: str) -> bool:
            print(piece, end="", flush=True)
            return True

        result = model.generate(sys.argv[1], 60, show)
        print()
        print(f"{result.generated_tokens} tokens, the end: {result.finish}", file=sys.stderr)
        model.free()
    except RuntimeError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:
        # Whoever reads has had enough. What Python still holds has nowhere to go.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


if __name__ == "__main__":
    sys.exit(main())
