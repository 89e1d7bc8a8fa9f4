//go:build race

package device

// raceDetector makes everything ten times slower.
const raceDetector = true
