"""What a person sees while the demo runs, and the table at its end."""

import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich.console import Console
from rich.table import Table


@dataclass
class Display:
    """Prints one line a step with its time, and collects the rows of the closing tables."""

    console: Console = field(default_factory=Console)
    started: float = field(default_factory=time.monotonic)
    steps: list[tuple[str, float]] = field(default_factory=list)

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        """Show `title` as running, then as done with its seconds; an error leaves it marked as failed."""
        begun = time.monotonic()
        failed = True
        try:
            with self.console.status(f"[bold]{title}[/] ..."):
                yield
            failed = False
        finally:
            seconds = time.monotonic() - begun
            self.steps.append((title, seconds))
            mark = "[red]failed[/]" if failed else "[green]done[/]  "
            self.console.print(f"{mark} {seconds:6.1f} s  {title}", highlight=False)

    def say(self, text: str) -> None:
        """Print a finding under the step that is running."""
        self.console.print(f"                 {text}", highlight=False)

    def table(self, title: str, columns: list[str], rows: list[list[object]]) -> None:
        """Print a table; the first column is text, the others are figures."""
        table = Table(title=title, title_justify="left", title_style="bold")
        for position, column in enumerate(columns):
            table.add_column(column, justify="left" if position == 0 else "right")
        for row in rows:
            table.add_row(*(f"{cell:.3f}" if isinstance(cell, float) else f"{cell}" for cell in row))
        self.console.print()
        self.console.print(table)

    def close(self) -> None:
        """Print how long each step took, the whole, and the memory at its peak."""
        total = time.monotonic() - self.started
        rows: list[list[object]] = [[title, f"{seconds:.1f}"] for title, seconds in self.steps]
        rows.append(["all", f"{total:.1f}"])
        self.table("Seconds", ["step", "s"], rows)
        # Kilobytes on Linux: the pipeline's own process, and the largest of its children (the service among them).
        own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        child = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
        self.console.print(f"Peak memory: pipeline {own:.1f} GiB, largest child process {child:.1f} GiB")
