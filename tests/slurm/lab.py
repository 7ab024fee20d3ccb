"""A real Slurm of two nodes on this machine: munged, slurmctld and two slurmd on loopback, all in one folder.

Needs root and Debian's packages ``slurm-wlm`` and ``munge``, which it installs where apt can; nothing is written to
``/etc/slurm``. ``python tests/slurm/lab.py FOLDER`` starts one and prints how to use it.
"""

import os
import random
import shutil
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path

PACKAGES = ("slurm-wlm", "munge")
NODES = ("one", "two")
PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scontrol", "scancel")


class NoSlurmError(Exception):
    """Why there can be no Slurm on this machine."""


def need():
    """See that there is all that it needs; install Slurm if it is missing.

    Raises
    ------
    NoSlurmError : with a sentence that says what is missing.
    """
    if sys.platform != "linux" or os.geteuid() != 0:
        raise NoSlurmError("the tests on Slurm need root on a Linux machine, to start munged and slurmd")
    if all(map(shutil.which, PROGRAMS)):
        return
    if not shutil.which("apt-get"):
        raise NoSlurmError(
            "the tests on Slurm need slurmctld, slurmd and munged, and there is no apt-get to install them"
        )
    policy = Path("/usr/sbin/policy-rc.d")
    quiet = not policy.exists()
    if quiet:  # so that no daemon starts by itself
        policy.write_text("#!/bin/sh\nexit 101\n")
        policy.chmod(0o755)
    try:
        for command in (["update"], ["install", "--yes", "--no-install-recommends", *PACKAGES]):
            run = subprocess.run(
                ["apt-get", "-qq", *command],
                env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
                capture_output=True,
                text=True,
                check=False,
            )
            if run.returncode:
                last = (run.stderr.strip().splitlines() or ["no reason given"])[-1]
                raise NoSlurmError(
                    f"the tests on Slurm need the packages {' and '.join(PACKAGES)}; apt-get says: {last}"
                )
    finally:
        if quiet:
            policy.unlink()
    missing = [program for program in PROGRAMS if not shutil.which(program)]
    if missing:
        raise NoSlurmError(f"the tests on Slurm need {', '.join(missing)}, which Debian's packages did not bring")


def free_ports(number):
    """Ports that nothing listens on now."""
    sockets = [socket.socket() for _ in range(number)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


class Slurm:
    """The daemons; everything of theirs is below ``folder``."""

    def __init__(self, folder):
        self.folder = Path(folder)
        self.processes = []
        wrappers = self.folder / "bin"
        self.env = {
            **os.environ,
            "SLURM_CONF": str(self.folder / "slurm.conf"),
            "PATH": f"{wrappers}:{os.environ['PATH']}",
        }

    def start(self):
        """Write the configuration and start the daemons.

        Raises
        ------
        NoSlurmError : one of them does not come up.
        """
        for name in ("bin", "state", "log", "munge", *(f"spool-{node}" for node in NODES)):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        self._configure()
        self._start_munge()
        self._daemon("slurmctld", "-D", "-f", self.env["SLURM_CONF"])
        for node in NODES:
            self._daemon("slurmd", "-D", "-N", node, "-f", self.env["SLURM_CONF"], name=f"slurmd-{node}")
        self._wait(
            lambda: self.say("sinfo", "-h", "-p", "main", "-o", "%T %D").split() == ["idle", str(len(NODES))],
            "the nodes",
        )
        return self

    def _configure(self):
        host = socket.gethostname().split(".")[0]
        if subprocess.run(["getent", "hosts", host], capture_output=True, check=False).returncode:
            with open("/etc/hosts", "a", encoding="utf-8") as hosts:
                print(f"127.0.0.1 {host}", file=hosts)
        controller, absent, *ports = free_ports(2 + len(NODES))
        sizes = {line.split(":")[0]: line.split()[1] for line in Path("/proc/meminfo").read_text().splitlines()}
        memory_mb = int(int(sizes["MemTotal"]) / 1024 * 0.8)
        folder = self.folder
        text = f"""
ClusterName=lab
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller}
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
FirstJobId={random.randrange(10**4, 10**7)}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket,cred_expire=20
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/log/slurmctld.log
SlurmdLogFile={folder}/log/slurmd-%n.log
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
AccountingStorageType=accounting_storage/none
ReturnToService=1
SchedulerParameters=batch_sched_delay=0,sched_interval=2,bf_interval=1
KillWait=5
MinJobAge=3600
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
DefMemPerCPU=500
GresTypes=gpu
"""
        for node, port in zip(NODES, ports, strict=True):
            text += (
                f"NodeName={node} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs=4 "
                f"RealMemory={memory_mb} Gres=gpu:1 State=UNKNOWN\n"
            )
        # A large node that is not there, in a partition with a limit of a day: for jobs that are only looked at.
        text += f"NodeName=big NodeHostname={host} NodeAddr=127.0.0.1 Port={absent} CPUs=16 RealMemory=64000\n"
        text += "PartitionName=day Nodes=big MaxTime=1-00:00:00 State=UP\nEnforcePartLimits=ALL\n"
        text += f"PartitionName=main Nodes={','.join(NODES)} Default=YES MaxTime=INFINITE OverSubscribe=NO State=UP\n"
        (folder / "slurm.conf").write_text(text)
        gpus = "".join(f"NodeName={node} Name=gpu File=/dev/null\n" for node in NODES)
        (folder / "gres.conf").write_text(gpus)
        # slurmd sets up its cgroup plugin even if nothing uses it; naming v1 skips the detection, which wants cgroups.
        (folder / "cgroup.conf").write_text("CgroupPlugin=cgroup/v1\nCgroupAutomount=no\n")
        for program in ("srun", "scontrol"):  # the executor drops SLURM_CONF before jobs use them
            wrapper = folder / "bin" / program
            wrapper.write_text(f'#!/bin/sh\nSLURM_CONF={folder}/slurm.conf exec {shutil.which(program)} "$@"\n')
            wrapper.chmod(0o755)

    def _start_munge(self):
        munge = self.folder / "munge"
        key = munge / "key"
        key.touch(mode=stat.S_IRUSR | stat.S_IWUSR)
        key.write_bytes(os.urandom(1024))
        for path in (munge, *munge.iterdir()):
            shutil.chown(path, "munge", "munge")
        munge.chmod(0o711)
        for parent in self.folder.parents:  # munged must reach its socket, wherever the folder is
            if parent != Path("/"):
                parent.chmod(parent.stat().st_mode | 0o111)
        self.folder.chmod(0o755)
        names = {"key-file": "key", "socket": "socket", "pid-file": "pid", "log-file": "log", "seed-file": "seed"}
        files = [f"--{what}={munge / name}" for what, name in names.items()]
        self._daemon(
            "runuser", "-u", "munge", "--", shutil.which("munged"), "--foreground", "--force", *files, name="munged"
        )
        self._wait(lambda: self.say("munge", "-S", munge / "socket", "-n"), "munged")

    def _daemon(self, *command, name=None):
        words = [str(word) for word in command]
        with open(self.folder / "log" / f"{name or command[0]}.out", "w", encoding="utf-8") as log:
            self.processes.append(
                subprocess.Popen(
                    words, stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=self.env, start_new_session=True
                )
            )

    def _wait(self, ready, what, seconds=30):
        end = time.monotonic() + seconds
        while not ready():
            if time.monotonic() > end:
                logs = sorted((self.folder / "log").glob("*"))
                last = "; ".join(
                    f"{log.name}: {(log.read_text().strip().splitlines() or ['nothing'])[-1]}" for log in logs
                )
                raise NoSlurmError(
                    f"Slurm does not come up on this machine: {what} did not answer in {seconds} s ({last})"
                )
            time.sleep(0.2)

    def say(self, *command):
        """What a command of Slurm prints; empty where it fails."""
        run = subprocess.run([str(w) for w in command], capture_output=True, text=True, env=self.env, check=False)
        return run.stdout.strip() if run.returncode == 0 else ""

    def jobs(self, *columns, states="all"):
        """Columns of squeue's format for all jobs that Slurm remembers: a list of tuples."""
        lines = self.say("squeue", "-h", "-t", states, "-o", "|".join(columns)).splitlines()
        return [tuple(line.split("|")) for line in lines]

    def running(self, rule):
        """Number and node of each job of a rule that runs now."""
        known = self.jobs("%i", "%N", "%k", states="running")
        return [(number, node) for number, node, comment in known if f"rule_{rule}" in comment]

    def waiting(self, rule):
        """Numbers of the jobs of a rule that have not begun."""
        return [number for number, comment in self.jobs("%i", "%k", states="pending") if f"rule_{rule}" in comment]

    def stop(self):
        """End all jobs and daemons."""
        self.say("scancel", "--user=root")
        for process in reversed(self.processes):
            process.terminate()
        for process in self.processes:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


if __name__ == "__main__":
    need()
    lab = Slurm(sys.argv[1]).start()
    print(f"export SLURM_CONF={lab.env['SLURM_CONF']} PATH={lab.folder}/bin:$PATH", flush=True)
    try:
        lab.processes[-1].wait()
    except KeyboardInterrupt:
        lab.stop()
