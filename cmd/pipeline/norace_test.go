//go:build !race

package main

// killPoints is at how many points of a run the coordinator, or a worker, is killed.
const killPoints = 20
