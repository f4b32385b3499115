module latchkey/deploy/bench

go 1.26.0

require latchkey/pkg v0.0.0

require github.com/go-jose/go-jose/v4 v4.1.9

replace latchkey/pkg => ../../pkg
