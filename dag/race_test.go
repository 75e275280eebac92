//go:build race

package dag_test

// underRace: the detector makes each of the many reruns of the slowest tests some ten
// times as slow. The plain suite does them all.
const underRace = true
