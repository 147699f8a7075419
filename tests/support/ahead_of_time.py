"""Kafka's classes, read, linked and profiled once for all brokers that tests start (JEP 483, 514).

A JVM that starts a broker works for several seconds before it answers, half of that on its classes.
Java 24 and later can keep what came of that work: a first broker is started with
`-XX:AOTCacheOutput` and stopped again, those after it with `-XX:AOTCache` (measured on two slow
cores: 6.1 → 2.9 s of CPU, 14 → 6 s until it answers). The cache lies beside the jars, named after
them and after the Java, and is made in the background by the first run that misses it.

    python -m tests.support.ahead_of_time    makes it now
"""

import fcntl
import hashlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Final

from rollcall_local.stack.errors import StackError
from rollcall_local.stack.kafka import jars as kafka_jars
from rollcall_local.stack.kafka import native as kafka_native

ROOT: Final = Path(__file__).parents[2]
OPTIONS: Final = "JDK_JAVA_OPTIONS"
MAKE_S: Final = 300.0


def path() -> Path:
    """Where the cache is, or will be. Raises StackError: there is no Java."""
    java = Path(kafka_native.java())
    jars = [jar.path for jar in kafka_jars.locked_jars()]
    words = f"{java}\0{java.stat().st_mtime_ns}\0{jars}"
    name = hashlib.sha256(words.encode()).hexdigest()[:12]
    return kafka_jars.user_cache() / "kafka" / f"tests-{name}.aot"


def use(environment: "os._Environ[str]") -> None:
    """Let each Java that is started with this environment use the cache, if there is one.

    Otherwise it is made beside the tests; what they start meanwhile does without.
    """
    try:
        found = path()
    except StackError:
        return
    if found.exists():
        environment[OPTIONS] = f"-XX:+IgnoreUnrecognizedVMOptions -XX:AOTCache={found}"
        return
    subprocess.Popen(
        ["nice", sys.executable, "-m", "tests.support.ahead_of_time"],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ).returncode = 0  # it outlives us, and Popen must not complain of that


def make() -> None:
    """Start a broker, stop it, and keep what it learned. One process at a time does so."""
    from tests.support.servers import own_kafka

    found = path()
    found.parent.mkdir(parents=True, exist_ok=True)
    with found.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if found.exists():
            return
        draft = found.with_suffix(".draft")
        # The tool that formats the storage is a Java as well, and comes first: the broker's is the
        # one that stays.
        os.environ[OPTIONS] = f"-XX:+IgnoreUnrecognizedVMOptions -XX:AOTCacheOutput={draft}"
        with own_kafka() as broker:
            broker.stop(MAKE_S)
        if draft.exists():
            draft.rename(found)


if __name__ == "__main__":
    make()
