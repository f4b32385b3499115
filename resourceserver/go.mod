module latchkey/resourceserver

go 1.26.0
