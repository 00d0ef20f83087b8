"""How the native protocol describes models."""

from typing import Self

from pydantic import BaseModel, Field

from app.api.schemas import Fraction
from app.tasks import option_names
from models.registry import Entry


class ModelInfo(BaseModel):
    """A model of the registry and its state."""

    name: str
    task: str
    tasks: list[str] = Field(description="All that it does, with `task` of `POST /generate-text`; the first by itself.")
    accepts: list[str]
    options: list[str] = Field(description="Options of `POST /generate-text` that it takes.")
    only_for: dict[str, list[str]] = Field(description="The tasks that an option is for, where that is not all.")
    languages: list[str] = Field(
        description="Languages that it reads, as tags of BCP 47: of tesseract those whose files are here, of others "
        "the most used of those in their scripts."
    )
    tags_images: bool = Field(description="Whether it can be the `tagger` of images; models of task `tag` tag texts.")
    hub_id: str | None
    revision: str | None
    license: str | None
    size_bytes: int | None
    state: str = Field(description="`absent`, `downloading`, `on_disk`, `loading`, `ready` or `failed`.")
    progress: Fraction | None = Field(description="Of a download.")
    error: str | None = Field(description="Why it failed.")
    device: str | None
    precision: str | None
    queued: int = Field(description="Jobs that wait for it.")

    @classmethod
    def of(cls, entry: Entry, queued: int) -> Self:
        """Describe an entry of the registry; `queued` is the number of jobs that wait for it."""
        model, loaded = entry.model, entry.loaded
        of_options = {
            name: sorted(str(task) for task in model.tasks if name in option_names(model, task))
            for name in sorted(option_names(model))
        }
        return cls(
            name=model.name,
            task=model.task,
            tasks=list(model.tasks),
            accepts=list(model.accepts),
            options=list(of_options),
            only_for={name: tasks for name, tasks in of_options.items() if len(tasks) < len(model.tasks)},
            languages=list(model.languages),
            tags_images=model.tags_images,
            hub_id=model.source.hub_id,
            revision=model.source.revision,
            license=model.source.license,
            size_bytes=model.source.size_bytes,
            state=entry.state,
            progress=entry.progress,
            error=entry.error,
            device=loaded.device if loaded else None,
            precision=loaded.precision if loaded else None,
            queued=queued,
        )


class ModelList(BaseModel):
    """The answer of `GET /models`."""

    models: list[ModelInfo]
    default: str = Field(description="The one that answers requests that name none.")
