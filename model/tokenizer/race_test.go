//go:build race

package tokenizer

// underRace: the detector makes expressions ten times as slow; the plain suite has the whole sample.
const underRace = true
