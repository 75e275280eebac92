//go:build race

package walk_test

// underRace: the walk is made of thousands of processes, each of which the detector makes
// some ten times as slow. The tests of package dag run the coordinator under it.
const underRace = true
