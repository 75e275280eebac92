//go:build race

package main

// The race detector makes each of the many runs of TestKillAnywhere some ten times as
// slow, and sees nothing new in them: the plain suite walks all points.
const killPoints = 3
