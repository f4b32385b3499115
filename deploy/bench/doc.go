// Package bench measures what every request pays, as ratios within one run:
// the machines it runs on are noisy. `make bench` runs it together with the
// benchmarks beside the code.
package bench
