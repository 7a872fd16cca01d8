"""The loop: plain, visible, and without a method's name in it."""

import math
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vesalius import checkpoint
from vesalius.checkpoint import Card
from vesalius.data import sidecar
from vesalius.errors import TrainingError
from vesalius.methods import find
from vesalius.methods.step import Progress, Step
from vesalius.progress import say
from vesalius.train import machine as machines
from vesalius.train import memory, optim
from vesalius.train import start as starts
from vesalius.train.batches import Batches, load
from vesalius.train.beside import Aside, Begin
from vesalius.train.folder import Folder, Place, below, restore_optimizer, write_json
from vesalius.train.logbook import Clock, Logbook
from vesalius.train.machine import Machine
from vesalius.train.run import Run, read
from vesalius.train.sources import Sources, open_sources
from vesalius.train.stop import Listener, Stopped
from vesalius.train.watch import Watch


def train(run: Run[Any], resume: bool = False, beside: Begin | None = None) -> Path:
    """Pretrain as `run` says; the path of the encoder. With `resume`, go on where the run in its folder stopped.

    beside: begins what is called after each update, and changes nothing; `vesalius.carry_out` gives the probes of `run`."""
    flushing = machines.flushes_denormals()
    try:
        return _train(run, resume, beside)
    finally:
        torch.set_flush_denormal(flushing)  # the caller's own arithmetic stays as it was


def _train(run: Run[Any], resume: bool, beside: Begin | None) -> Path:
    module, folder = find(run.name), Folder(Path(run.out))
    starts.check(run, module)
    if resume and run.batch == "auto" and folder.config.exists():
        run = replace(run, batch=read(folder.config).batch)  # whatever memory is free now
    machine = machines.prepare(run)
    settled = machines.resolved(run, machine)
    first, ranks = machine.fabric.is_global_zero, machine.fabric.world_size
    if first:
        folder.check(settled, resume)
    method = starts.method(run, module, ranks)
    if first:
        folder.check_room(method, int(run.method.stages), optim.KEPT[run.optim.kind])
        say(machine.words)
    aside = Aside(machine.fabric, method.encoder, beside)  # type: ignore[arg-type]
    enough = partial(starts.enough, run, method, ranks)
    sources = open_sources(run, getattr(module, "check_scan", None), enough)
    if first and (remark := getattr(module, "remark", None)) and (words := remark(sources.train.shapes, run.method)):
        say(words)
    if run.batch == "auto":
        settled = replace(settled, batch=memory.largest(run, module, method, machine, sources.train))
    if first:
        if run.batch == "auto":
            say(f"batch {settled.batch}")
        folder.open(settled)
    machine.fabric.barrier()
    card = starts.card(settled, module, method.encoder, sources.prepare, sources.facts)
    try:
        return Training(settled, module, machine, folder, sources, method, card, aside).all_stages(resume)
    except torch.OutOfMemoryError as error:
        remedy = f"Use a --batch below {settled.batch}, smaller views or a smaller backbone, or more devices."
        raise TrainingError("the device's memory is full", remedy=remedy) from error


class Training:
    """One run in progress: the method, the optimiser, and where it stands."""

    def __init__(
        self,
        run: Run[Any],
        module: Any,
        machine: Machine,
        folder: Folder,
        sources: Sources,
        method: nn.Module,
        card: Card,
        aside: Aside,
    ) -> None:
        self.run, self.module, self.machine, self.folder, self.sources = run, module, machine, folder, sources
        self.fabric, self.card, self.aside, self.listener = machine.fabric, card, aside, Listener()
        self.stages = int(run.method.stages)
        self.ranks, self.rank = self.fabric.world_size, self.fabric.global_rank
        self.batch = int(run.batch)  # "auto" is settled by now
        self.micro = self.batch // run.accumulate
        self.steps_per_epoch = len(sources.train) // self.micro // run.accumulate
        self.whole = self.steps_per_epoch * run.epochs
        self.steps = min(self.whole, run.max_steps) if run.max_steps else self.whole
        layout = torch.channels_last if run.ndim == 2 else torch.channels_last_3d
        self.method = method
        self.method.to(memory_format=layout)  # type: ignore[call-overload]
        self.method.to(self.fabric.device)
        self.watch = Watch(run, module, method, self.fabric, sources, self._views)

    def all_stages(self, resume: bool) -> Path:
        """Run every stage, saving as it goes; the path of the encoder."""
        place, tensors, state = self._where(resume)
        if self.fabric.is_global_zero:
            write_json(self.folder.path / "set_aside.json", self.sources.set_aside)
            seen = sidecar.united(sidecar.read(self.folder.path), self.sources.patients)
            write_json(self.folder.path / sidecar.FILE, seen)
        total, done = self.steps * self.stages, self.steps * place.stage + place.step
        self.logbook = Logbook(self.folder.path, total, done, self.run.tensorboard, not self.fabric.is_global_zero)
        try:
            with self.listener.listening():
                while place.stage < self.stages:
                    place = self._stage(place, tensors, state)
                    tensors = None
        finally:
            self.logbook.close()
        return self.folder.encoder

    def _where(self, resume: bool) -> tuple[Place, dict[str, Tensor] | None, dict[str, Any]]:
        """Where to go on, what was saved, the optimiser's scalars; the method is put back, what is not as before is said."""
        if not (resume and self.folder.last.exists()):
            if resume:
                self._say(f"nothing is saved in {self.folder.path} yet: the run begins at its first step")
            return Place(), None, {}
        place, tensors, card = self.folder.restore(self.method)
        self.aside.load_state_dict(below(tensors, "beside."))
        before, now = card.state["threads"], torch.get_num_threads()
        if before != now:
            self._say(f"resumed with {now} threads, not {before}: last bits may differ")
        if card.data != self.card.data:
            self._say("the data are not those that the run was saved with: it goes on with these")
        return place, tensors, card.state

    def _say(self, text: str) -> None:
        if self.fabric.is_global_zero:
            say(text)

    def _stage(self, place: Place, tensors: dict[str, Tensor] | None, state: dict[str, Any]) -> Place:
        """One stage: a fresh optimiser and rate, the towers and bank as they are."""
        optimizer = optim.build(self.method.parameters(), self.run.optim)
        if tensors is not None:
            restore_optimizer(optimizer, tensors, state)
        wrapped, optimizer = self.fabric.setup(self.method, optimizer)
        scans, crops, ranks = self.sources.train, self.module.crops, (self.rank, self.ranks)
        batches = Batches(scans, crops, self.run.method, place.stage, self.micro, self.run.seed, *ranks)
        n = self.run.accumulate
        pin = self.machine.device == "cuda"
        # Closed whatever happens: workers hear no signal, and Python waits for them when it ends.
        with closing(load(batches, place.step * n, self.steps * n, self.machine.workers, pin)) as stream:
            clock = Clock()
            for step in range(place.step, self.steps):
                logging = (step + 1) % self.run.log_steps == 0 or step + 1 == self.steps
                now = self._progress(place.stage, step, logging)
                lr = optim.rate(self.run.optim, step, self.steps_per_epoch, self.run.epochs)
                log = self._step(wrapped, optimizer, stream, now, lr, clock)
                place = replace(place, step=step + 1)
                if numbers := self.aside(now, clock):
                    self.logbook.write({**self._at(place.stage, place.step), **numbers})
                if logging:
                    self._log(now, log, lr, clock)
                if place.step % self.steps_per_epoch == 0 or place.step == self.steps:
                    place = self._watch(place)
                self._save_if_due(place, optimizer, clock)
        return self._end_of_stage(place, optimizer)

    def _step(
        self,
        wrapped: Any,
        optimizer: Any,
        stream: Iterator[dict[str, Tensor]],
        now: Progress,
        lr: float,
        clock: Clock,
    ) -> dict[str, Any]:
        """Forward and backward over the micro-batches, one update, then what follows it; the step's numbers."""
        for group in optimizer.param_groups:
            group["lr"] = lr
        optimizer.zero_grad(set_to_none=True)
        carries, logs = [], []
        for part in range(self.run.accumulate):
            batch = self._batch(stream, clock)
            views = self._views(batch, now.stage)
            last = part == self.run.accumulate - 1
            with self.fabric.no_backward_sync(wrapped, enabled=not last) if self.ranks > 1 else nullcontext():
                step: Step = wrapped(views, now)
                self._finite("loss", step.loss, batch, now)
                self.fabric.backward(step.loss / self.run.accumulate)
            carries.append(step.carry)
            logs.append({"loss": step.loss.detach(), **step.log})
        norm = nn.utils.clip_grad_norm_(self.method.parameters(), self.run.optim.clip or math.inf)
        self._finite("gradient", norm, batch, now)  # before it reaches the weights: what is saved later stays sound
        optimizer.step()
        self.method.after_update(carries)  # type: ignore[operator]
        clock.images += self.batch
        return {**{key: sum(log[key] for log in logs) / len(logs) for key in logs[0]}, "gradient_norm": norm}

    def _batch(self, stream: Iterator[dict[str, Tensor]], clock: Clock) -> dict[str, Tensor]:
        begun = time.perf_counter()
        batch = next(stream)
        clock.waited += time.perf_counter() - begun
        return {name: value.to(self.fabric.device, non_blocking=True) for name, value in batch.items()}

    def _views(self, batch: Mapping[str, Tensor], stage: int) -> dict[str, Tensor]:
        views: dict[str, Tensor] = self.module.augment(batch, self.run.method, stage)
        if self.machine.precision == "fp64":
            views = {name: view.double() if view.is_floating_point() else view for name, view in views.items()}
        return views

    def _finite(self, what: str, value: Tensor, batch: dict[str, Tensor], now: Progress) -> None:
        """Stop at a number that is not finite, with the batch saved so that it can be looked at."""
        if not bool(torch.isfinite(value)):
            path = self.folder.path / f"bad_batch_rank{self.rank}.safetensors"
            checkpoint.write(path, batch, replace(self.card, kind="batch", stage=now.stage, step=now.step))
            remedy = "Lower optim.lr, warm up (optim.warmup_epochs), clip (optim.clip) or use precision fp32."
            reason = (
                f"the {what} is {float(value.detach())} at stage {now.stage}, step {now.step}; its batch is saved here"
            )
            raise TrainingError(reason, file=path, remedy=remedy)

    def _log(self, now: Progress, log: dict[str, Any], lr: float, clock: Clock) -> None:
        numbers = {name: round(float(value), 6) for name, value in log.items()}
        if self.ranks > 1:
            numbers = {name: float(self.fabric.all_reduce(value)) for name, value in numbers.items()}  # type: ignore[arg-type]
        where = self._at(now.stage, now.step + 1)
        row = {**where, "epoch": now.epoch, **numbers, "lr": lr, **clock.read()}
        self.logbook.write(row)
        self.logbook.show(where["total_step"], row)
        alarms = getattr(self.module, "alarms", None)
        if alarms is not None:
            self.logbook.alarm(now.stage, alarms(numbers, self.run.method))

    def _watch(self, place: Place) -> Place:
        """The loss on held-out patients. Keeps the best of the last stage, where the method does not want the last."""
        loss = self.watch.loss(self._progress(place.stage, place.step, logging=False), self.micro)
        if loss is None:
            return place
        self.logbook.write({**self._at(place.stage, place.step), "watch_loss": loss})
        last = getattr(self.module, "KEEP", "best") == "last"
        if place.stage == self.stages - 1 and loss < place.best and not last:
            place = replace(place, best=loss)
            self._save_encoder(self.folder.encoder, place)
        return place

    def _save_if_due(self, place: Place, optimizer: Any, clock: Clock) -> None:
        run = self.run
        due = bool(run.save_steps) and place.step % run.save_steps == 0
        if due or clock.since_save() > 60 * run.save_minutes or self.listener.signal:
            self._save(place, optimizer)
            clock.saved = time.monotonic()
        if self.listener.signal:
            raise Stopped(128 + self.listener.signal, self.folder.path)

    def _save(self, place: Place, optimizer: Any) -> None:
        if self.fabric.is_global_zero:
            card = replace(self.card, stage=place.stage, step=place.step)
            self.folder.save(self.folder.last, self.method, optimizer, self.aside.state_dict(), card, place)

    def _end_of_stage(self, place: Place, optimizer: Any) -> Place:
        """Save the stage's encoder, then the state that the next stage starts from: towers and bank, no momentum."""
        self._save_encoder(self.folder.path / f"stage{place.stage}.safetensors", place)
        final = place.stage == self.stages - 1
        if final and place.best == math.inf:
            self._save_encoder(self.folder.encoder, place)
        following = Place(place.stage + 1, 0, place.best)
        fresh = optim.build(self.method.parameters(), self.run.optim)
        self._save(following, fresh)
        self.watch.draw(place.stage, self.folder.path)
        self.fabric.barrier()
        return following

    def _save_encoder(self, path: Path, place: Place) -> None:
        if self.fabric.is_global_zero:
            card = replace(self.card, stage=place.stage, step=place.step)
            checkpoint.write(path, self.method.encoder.state_dict(), card)  # type: ignore[union-attr]

    def _at(self, stage: int, step: int) -> dict[str, int]:
        """How every line of numbers in the log begins: after so many steps of a stage."""
        return {"stage": stage, "step": step, "total_step": stage * self.steps + step}

    def _progress(self, stage: int, step: int, logging: bool) -> Progress:
        epoch = step // self.steps_per_epoch
        return Progress(stage, step, self.whole, epoch, self.run.epochs, self.run.seed, logging)
