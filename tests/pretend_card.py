"""What the pretend GPU (pretend_gpu.py) keeps account of: launches, waiting, memory, streams, and who may read what.

Every stream has a vector clock: how far it knows every stream to be. A launch is a tick of its own stream; an event
carries a copy of the clock; the host has one clock, for all its threads, to which synchronisation adds. An access that
happened at a tick which the clock of a later one does not reach was not waited for.
"""

import contextlib
import sys
import threading
from collections import Counter, deque
from pathlib import Path

import torch
from pretend_copies import together

LAUNCH_US, BYTES_PER_US = 5.0, 3e6  # the pretend time of a launch: 3 TB/s
ACCESSES = 32  # of one piece of memory, remembered apart
KIND = torch._C._autograd.DeviceType.PrivateUse1.value
OWN = ("pretend_", str(Path(torch.__file__).parent), str(Path(contextlib.__file__).parent / "contextlib"))
NOW = []  # the pretend GPU that is on


def card():
    if not NOW:
        raise RuntimeError("Found no pretend GPU: it is only there inside pretend_gpu()")
    return NOW[-1]


class Counts:
    """What the device did.

    Attributes
    ----------
    launches : operations that compute on the device, by name; copies between host and device are named so.
    syncs : how often the host waited for the device, by reason; ``places`` tells where: (reason, file:line).
    bytes : what launches read and wrote, by name, views as large as what they show.
    live, peak : bytes of memory now, and at most since counting began.
    races : sentences about what was used without being waited for.
    """

    def __init__(self, card):
        self.card, self.launches, self.syncs, self.places, self.bytes = card, *(Counter() for _ in range(4))
        self.peak, self._races = card.memory(), []

    def reset(self):
        self.__init__(self.card)

    @property
    def live(self):
        return self.card.memory()

    @property
    def races(self):
        self.card.look()
        return self._races

    def __repr__(self):
        parts = self.launches.total(), self.syncs.total(), self.bytes.total(), self.peak
        return "{} launches, {} waits, {} bytes, {} at most".format(*parts)


def learn(clock, other):
    for stream, tick in other.items():
        if tick > clock.get(stream, 0):
            clock[stream] = tick


class Memory:
    """A piece of device memory: as long as a tensor has it, it is alive."""

    def __init__(self, card, device, nbytes, stream):
        self.card, self.device, self.nbytes, self.stream = card, device, nbytes, stream
        self.accesses, self.uses, self.recorded = {}, {}, set()
        self.address = card.allocate(device, nbytes)

    def __del__(self):
        if hasattr(self, "address"):  # else there was no room for it
            # Garbage is collected at any moment: only noted here.
            self.card.dead.append((self.device, self.nbytes, self.stream, self.uses, self.recorded))


class Card:
    def __init__(self, capacity_bytes, devices):
        self.capacity, self.devices, self.lock = int(capacity_bytes), devices, threading.RLock()
        self.local, self.dead, self.copies, self.listening = threading.local(), deque(), [], []
        self.live, self.peak, self.next_address = [0] * devices, [0] * devices, 1 << 40
        self.host, self.host_us, self.clock, self.time_us = {}, 0.0, {}, {}
        self.generators = [torch.Generator().manual_seed(0) for _ in range(devices)]
        self.default = [Stream(index, card=self) for index in range(devices)]
        self.counts = Counts(self)
        self.listening.append(self.counts)

    # What each thread has chosen.
    def current_device(self):
        return getattr(self.local, "device", 0)

    def current(self, device=None):
        device = self.current_device() if device is None else device
        return getattr(self.local, "streams", {}).get(device) or self.default[device]

    def choose(self, stream):
        self.local.streams = {**getattr(self.local, "streams", {}), stream.device_index: stream}

    # Memory.
    def memory(self, device=None):
        with self.lock:
            self.bury()
            return sum(self.live) if device is None else self.live[device]

    def allocate(self, device, nbytes):
        with self.lock:
            self.bury()
            if self.live[device] + nbytes > self.capacity:
                raise self.full(device, nbytes)
            self.live[device] += nbytes
            self.peak[device] = max(self.peak[device], self.live[device])
            for counts in self.listening:
                counts.peak = max(counts.peak, sum(self.live))
            self.next_address += -(-max(nbytes, 1) // 512) * 512
            return self.next_address

    def full(self, device, nbytes):
        free = self.capacity - self.live[device]
        return torch.OutOfMemoryError(
            f"Pretend out of memory. Tried to allocate {nbytes / 2**30:.2f} GiB. GPU {device} has a total "
            f"capacity of {self.capacity / 2**30:.2f} GiB of which {free / 2**30:.2f} GiB is free."
        )

    def bury(self):
        """See to the memory that was freed: its own stream may have it at once."""
        while self.dead:
            device, nbytes, owner, uses, recorded = self.dead.popleft()
            self.live[device] -= nbytes
            for stream, tick in uses.items():
                if not (stream in recorded or stream == owner or self.knows(owner, stream, tick)):
                    self.race(
                        f"memory of {nbytes} bytes, allocated on stream {owner}, was freed without record_stream while "
                        f"stream {stream} still used it"
                    )

    # Streams.
    def knows(self, stream, other, tick):
        return max(self.clock[stream].get(other, 0), self.host.get(other, 0)) >= tick

    def race(self, sentence):
        for counts in self.listening:
            if sentence not in counts._races:
                counts._races.append(sentence)

    def launch(self, name, stream, nbytes, n=1):
        """Something runs on a stream.

        Returns
        -------
        The tick of the stream.
        """
        self.bury()
        key = stream.stream_id
        clock = self.clock[key]
        learn(clock, self.host)
        clock[key] = clock.get(key, 0) + 1
        self.time_us[key] = max(self.time_us[key], self.host_us) + n * LAUNCH_US + nbytes / BYTES_PER_US
        for counts in self.listening if n else ():
            counts.launches[name] += n
            counts.bytes[name] += nbytes
        return clock[key]

    def touch(self, memory, place, writes, stream, name):
        """What was launched last on a stream reads or writes a place (first byte, one after the last) in memory."""
        key, (low, high) = stream.stream_id, place
        if memory.card is not self or low == high:
            return
        clock = self.clock[key]
        for access, (tick, other) in list(memory.accesses.items()):
            by, wrote, start, end = access
            if not (start < high and low < end and (writes or wrote)):
                continue
            if clock.get(by, 0) < tick:
                what = f"{'writes' if writes else 'reads'} what {other} on stream {by} {'wrote' if wrote else 'reads'}"
                self.race(f"{name} on stream {key} {what}, without waiting for it")
            if writes and low <= start and end <= high:
                del memory.accesses[access]
        memory.accesses[key, writes, low, high] = clock[key], name
        memory.uses[key] = clock[key]
        if len(memory.accesses) > ACCESSES:
            hulls = {}
            for (by, wrote, start, end), (tick, other) in memory.accesses.items():
                first, last, latest, _ = hulls.get((by, wrote), (start, end, tick, other))
                hulls[by, wrote] = min(first, start), max(last, end), max(latest, tick), other
            memory.accesses = {(*who, low, high): (tick, other) for who, (low, high, tick, other) in hulls.items()}

    # The host waits.
    def wait(self, reason, clock, time_us):
        with self.lock:
            if reason is not None:
                place = where()
                for counts in self.listening:
                    counts.syncs[reason] += 1
                    counts.places[reason, place] += 1
            learn(self.host, clock)
            self.host_us = max(self.host_us, time_us)
            self.look()
            for copy in [copy for copy in self.copies if self.host.get(copy.stream, 0) >= copy.tick]:
                self.finish(copy)

    def wait_for(self, reason, stream):
        self.wait(reason, self.clock[stream.stream_id], self.time_us[stream.stream_id])

    def wait_for_all(self, reason, device=None):
        clock = {}
        with self.lock:
            self.bury()
            for other in self.clock.values():
                learn(clock, other)
            self.wait(reason, clock, max(self.time_us.values()))

    def finish(self, copy):
        self.copies.remove(copy)
        if copy.values is not None:
            copy.host.copy_(copy.values)

    # Copies under way.
    def look(self):
        """Whether pinned memory was changed while it was being read."""
        with self.lock:
            self.bury()
            for copy in [copy for copy in self.copies if copy.spoilt()]:
                self.copies.remove(copy)
                size, stream = copy.host.nbytes, copy.stream
                self.race(f"the host changed pinned memory of {size} bytes while stream {stream} still copied it")

    def meet(self, host, stream, name, writes):
        """A copy on a stream meets host memory of copies that are still under way."""
        for copy in [copy for copy in self.copies if together(copy.host, host)]:
            if not writes and copy.values is None:
                continue  # both read
            if not self.knows(stream.stream_id, copy.stream, copy.tick):
                self.race(f"{name} on stream {stream.stream_id} meets a copy on stream {copy.stream}, without waiting")
            self.finish(copy)


def where():
    """The line that made the host wait: the innermost one that is neither torch's nor the pretend GPU's."""
    frame = sys._getframe(1)
    while frame is not None:
        path = frame.f_code.co_filename
        if not path.startswith(OWN[1:]) and not Path(path).name.startswith(OWN[0]):
            return f"{Path(path).name}:{frame.f_lineno}"
        frame = frame.f_back
    return "backward"


class Stream(torch.Stream):
    """Has torch.cuda.Stream's interface."""

    def __new__(cls, device=None, priority=0, *, card=None):
        owner = card or globals()["card"]()
        with owner.lock:
            index = index_of(device, owner)
            self = super().__new__(cls, stream_id=len(owner.clock), device_index=index, device_type=KIND)
            self.card, self.priority = owner, priority
            owner.clock[self.stream_id], owner.time_us[self.stream_id] = {self.stream_id: 0}, 0.0
            return self

    def __init__(self, device=None, priority=0, *, card=None):
        pass

    def wait_event(self, event):
        with self.card.lock:
            self.card.bury()
            learn(self.card.clock[self.stream_id], event.clock)
            time_us = self.card.time_us
            time_us[self.stream_id] = max(time_us[self.stream_id], event.time_us or 0.0)

    def wait_stream(self, stream):
        self.wait_event(stream.record_event())

    def record_event(self, event=None):
        event = Event() if event is None else event
        event.record(self)
        return event

    def synchronize(self):
        self.card.wait_for("stream.synchronize", self)

    def query(self):
        return self.card.host.get(self.stream_id, 0) >= self.card.clock[self.stream_id][self.stream_id]

    def __enter__(self):
        self.card.local.before = [*getattr(self.card.local, "before", []), self.card.current(self.device_index)]
        self.card.choose(self)
        return self

    def __exit__(self, *_):
        self.card.choose(self.card.local.before.pop())


class Event(torch.Event):
    """Has torch.cuda.Event's interface. ``query`` says no once, if nobody has waited, and then yes."""

    def __new__(cls, device=None, *, enable_timing=False, blocking=False, interprocess=False):
        return super().__new__(cls, torch.device("pretend", index_of(device, card())), enable_timing=enable_timing)

    def __init__(self, device=None, *, enable_timing=False, blocking=False, interprocess=False):
        self.card, self.timing, self.clock, self.time_us, self.asked = card(), enable_timing, {}, None, False

    def record(self, stream=None):
        stream = self.card.current() if stream is None else stream
        with self.card.lock:
            self.card.bury()
            learn(self.card.clock[stream.stream_id], self.card.host)
            self.clock, self.asked = dict(self.card.clock[stream.stream_id]), False
            self.time_us = max(self.card.time_us[stream.stream_id], self.card.host_us)

    def wait(self, stream=None):
        (self.card.current() if stream is None else stream).wait_event(self)

    def done(self):
        return all(self.card.host.get(stream, 0) >= tick for stream, tick in self.clock.items())

    def query(self):
        if not self.done() and self.asked:
            self.card.wait(None, self.clock, self.time_us)
        self.asked = True
        return self.done()

    def synchronize(self):
        self.card.wait("event.synchronize", self.clock, self.time_us or 0.0)

    def elapsed_time(self, other):
        if not (self.timing and other.timing):
            raise ValueError("Both events must be created with argument 'enable_timing=True'.")
        if self.time_us is None or other.time_us is None:
            raise ValueError("Both events must be recorded before calculating elapsed time.")
        if not (self.done() and other.done()):
            raise RuntimeError("device not ready: elapsed_time of events that nobody has waited for")
        return (other.time_us - self.time_us) / 1e3


def index_of(device, card):
    """The number of a device given as number, name, torch.device or nothing."""
    if isinstance(device, str):
        device = torch.device(device)
    index = device.index if isinstance(device, torch.device) else device
    index = card.current_device() if index is None or index < 0 else index
    if index >= card.devices:
        raise RuntimeError(f"invalid device ordinal: pretend:{index} of {card.devices}")
    return index
