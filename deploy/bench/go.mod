module latchkey/deploy/bench

go 1.26.0
