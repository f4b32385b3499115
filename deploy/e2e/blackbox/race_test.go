//go:build race

package blackbox_test

// raceDetector: the servers under test are built as the tests are.
const raceDetector = true
