//go:build !race

package blackbox_test

const raceDetector = false
