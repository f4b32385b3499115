module latchkey/deploy/dev

go 1.26.0
