// Durable publish and delivery through the whole broker, beside a plain SQLite loop with the same schema and batch size
// in the same run: figures of different runs, or machines, do not compare, the ratios do.

internal import ArgumentParser

await Benchmarks.main()
