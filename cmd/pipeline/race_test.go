//go:build race

package main

// underRace: the detector makes each of the many whole runs of the slowest tests some ten
// times as slow. The plain suite walks them; under the detector the tests of package dag
// run the coordinator.
const underRace = true
