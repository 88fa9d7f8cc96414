# Runs a command with PyPI's wasmtime; the last line of output has the compile and run times.
import sys
import time

from wasmtime import Engine, ExitTrap, Linker, Module, Store, WasiConfig

path, *args = sys.argv[1:]
with open(path, "rb") as file:
    code = file.read()
begin = time.perf_counter()
engine = Engine()
store = Store(engine)
config = WasiConfig()
config.argv = ["main.wasm", *args]
config.inherit_stdout()
store.set_wasi(config)
linker = Linker(engine)
linker.define_wasi()
instance = linker.instantiate(store, Module(engine, code))
compiled = time.perf_counter()
try:
    instance.exports(store)["_start"](store)
except ExitTrap as exit:
    assert exit.code == 0, exit.code
end = time.perf_counter()
print(f"{(end - begin) * 1000:.1f} {(end - compiled) * 1000:.1f}", file=sys.stderr)
