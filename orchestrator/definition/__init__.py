"""The language that sagas are written in, and what the build makes of it.

`payload` holds the contracts, `arity` the decorators `@step`, `@derive` and `@block`, `flow` the
verbs, `saga` the definition itself. A plan is drawn once (`plan`, `drawing`), checked (`check`),
frozen into the core's tree (`freeze`) and bound to a codec (`binding`).
"""
