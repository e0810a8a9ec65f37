"""The compiled half; call it by the functions of `voxstream`."""

from typing import Any

__version__: str

class Error(Exception): ...

class PipelineError(Error):
    diagnostics: list[dict[str, Any]]

class InternalError(Error): ...

class Batches:
    def __arrow_c_stream__(self, requested_schema: Any = None) -> Any: ...

class Tensor:
    shape: tuple[int, ...]
    dtype: str
    address: int
    def __dlpack__(
        self,
        *,
        stream: Any = None,
        max_version: tuple[int, int] | None = None,
        dl_device: tuple[int, int] | None = None,
        copy: bool | None = None,
    ) -> Any: ...
    def __dlpack_device__(self) -> tuple[int, int]: ...

class Batch:
    position: tuple[int, int]
    views: list[str]
    def __len__(self) -> int: ...
    def rows(self, view: str) -> list[dict[str, Any]]: ...
    def channels(self) -> tuple[list[str], list[str]]: ...
    def tensors(
        self, view: str, missing: float | None, ignore: int | None
    ) -> tuple[Tensor, list[list[bool]], Tensor | None]: ...
    def __arrow_c_stream__(self, requested_schema: Any = None) -> Any: ...

class Stream:
    failures: list[dict[str, str]]
    def __iter__(self) -> Stream: ...
    def __next__(self) -> Batch: ...
    def close(self) -> None: ...

def check(path: str, set: list[str], data: bool) -> list[dict[str, Any]]: ...
def run(
    path: str,
    set: list[str],
    out: str | None,
    device: str,
    workers: int | None,
    memory: str | None,
    limit: int | None,
    resume: bool,
    progress: bool,
) -> tuple[str, list[dict[str, str]]]: ...
def query(run: str, sql: str) -> Batches: ...
def tables(run: str) -> tuple[list[str], list[str]]: ...
def stream(
    path: str,
    set: list[str],
    split: str,
    labelled: bool | None,
    epochs: int | None,
    batch: int,
    drop_last: bool,
    workers: int | None,
    memory: str | None,
    limit: int | None,
    start: tuple[int, int],
) -> Stream: ...
def volume(array: Any) -> tuple[Tensor, list[float]] | None: ...
