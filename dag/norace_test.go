//go:build !race

package dag_test

const underRace = false
