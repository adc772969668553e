"""What `benchmarks.bench_service` measures, one module for each thing it starts or asks."""
