//go:build !race

package systest

const raceDetector = false
