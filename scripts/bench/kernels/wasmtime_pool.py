# Runs a module for each file as standard input, in one process for each core that loads it precompiled by PyPI's wasmtime.
import multiprocessing
import os
import sys
import tempfile

from wasmtime import Engine, ExitTrap, Linker, Module, Store, WasiConfig


def load(path):
    global engine, linker, module, output
    engine = Engine()
    linker = Linker(engine)
    linker.define_wasi()
    module = Module.deserialize_file(engine, path)
    output = tempfile.mktemp()


def run(path):
    store = Store(engine)
    config = WasiConfig()
    config.argv = ["main.wasm"]
    config.stdin_file = path
    config.stdout_file = output
    store.set_wasi(config)
    try:
        linker.instantiate(store, module).exports(store)["_start"](store)
    except ExitTrap as exit:
        assert exit.code == 0, exit.code
    with open(output, "rb") as file:
        return file.read()


if __name__ == "__main__":
    source, listing = sys.argv[1:]
    precompiled = tempfile.mktemp()
    with open(source, "rb") as file, open(precompiled, "wb") as target:
        target.write(Module(Engine(), file.read()).serialize())
    with open(listing) as file:
        items = file.read().splitlines()
    with multiprocessing.Pool(os.cpu_count(), load, [precompiled]) as pool:
        for data in pool.imap_unordered(run, items):
            sys.stdout.buffer.write(data)
