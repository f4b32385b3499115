module latchkey/migrations

go 1.26.0
