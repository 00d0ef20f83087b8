"""Tags: of a text by a tagger, or of an image by a captioner that also tags."""

from collections.abc import Callable
from dataclasses import replace

from app import errors
from app.availability import Availability
from app.cache import Cache
from app.clock import Clock
from app.jobs import JobRunner
from app.pipelines import Pipeline, of_model
from app.types import Answer, RequestOptions, Tags
from models.base import Job, Task
from models.registry import Entry, Registry
from models.roles import TAGGER


class Tagging:
    """Chooses taggers, makes tags, and caches the tags of texts."""

    def __init__(self, registry: Registry, availability: Availability, cache: Cache) -> None:
        self._registry = registry
        self._availability = availability
        self._cache = cache

    def choose(self, name: str | None, of_image: bool) -> Entry | None:
        """Return the named tagger, or the best one on the machine if none is named; None if there is none.

        Args:
            name: of a tagger; None or `auto` for the best.
            of_image: whether the tags are of an image or its caption; False for tags of a text alone.

        Raises:
            InvalidOption: the model is no tagger of that kind.
            models.errors.UnknownModel: there is no such model.
        """
        if name in (None, "auto"):
            tagger = self._registry.default_tagger()
            return tagger or (self._registry.default_image_tagger() if of_image else None)
        entry = self._registry.entry(str(name))
        if entry.model.tags_images and not of_image:
            raise errors.InvalidOption(f"{name} tags images, not texts: use POST /generate-text with tags=true")
        if entry.model.task is not Task.TAG and not entry.model.tags_images:
            raise errors.InvalidOption(f"{name} is not a tagger")
        return entry

    def of_answer(
        self,
        answer: Answer,
        tagger: Entry | None,
        runner: JobRunner,
        fresh: bool,
        answer_again: Callable[[Pipeline, JobRunner], Answer],
    ) -> Tags:
        """Tag the image of an answer, or its text. A tagger that fails does not fail the request: the tags then have a
        warning instead of names.

        Args:
            answer: the answer for the image.
            tagger: what `choose` returned.
            runner: runs the jobs of the request.
            fresh: whether to compute tags even if they are cached.
            answer_again: returns the answer of another pipeline for the same image.
        """
        if tagger is None:
            why = f"no tags: no tagger is on this machine; POST /models/{TAGGER}/load fetches one"
            return Tags(warnings=(why,), cached=True)
        if not answer.text and not tagger.model.tags_images:
            return Tags((), tagger=tagger.model.name, cached=True)
        try:
            with errors.as_service_errors():
                if not tagger.model.tags_images:
                    return self.of_text(answer.text, tagger, fresh, runner)
                if answer.model == tagger.model.name and answer.tags is not None:
                    return replace(answer.tags, cached=answer.cached)
                self._availability.require(tagger, runner, wait=False)
                # Some tag whatever they describe, others when they are told to.
                asked = RequestOptions(task="tag" if Task.TAG in tagger.model.tasks else None)
                captioned = answer_again(of_model(self._registry, tagger, asked), runner.timed_apart())
                tags = captioned.tags or Tags((), tagger=tagger.model.name)
                return replace(tags, timings=captioned.timings, cached=captioned.cached)
        except errors.ClientGone:
            raise
        except errors.ServiceError as error:
            return Tags(warnings=(f"no tags: {error.detail}",))

    def of_text(self, text: str, tagger: Entry | None, fresh: bool, runner: JobRunner) -> Tags:
        """Return the tags of a text, cached or computed.

        Raises:
            Unavailable: the tagger is not on the machine.
        """
        entry = tagger or self._registry.entry(TAGGER)
        self._availability.require(entry, runner, wait=False)
        key = text, entry.identity
        cached: Tags | None = None if fresh else self._cache.get(key)
        if cached is not None:
            return replace(cached, cached=True)
        clock, runner = Clock(), runner.timed_apart()
        prediction = runner.run(entry, Job(text=text))
        tags = Tags(prediction.tags or (), prediction.tag_scores, entry.model.name, prediction.warnings)
        self._cache.put(key, tags, clock.started)
        return replace(tags, timings=runner.timings())


def tag_warnings(options: RequestOptions, tags: Tags | None) -> tuple[str, ...]:
    """Return what the client should know about the tags of its answer, or about the lack of them."""
    if tags is not None:
        return tags.warnings
    return ("tagger has no effect without tags=true",) if options.tagger else ()
