//go:build race

package train

// underRace: the detector makes the trainings of TestBits ten times as slow, and the other
// tests run the same code.
const underRace = true
