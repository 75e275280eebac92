//go:build race

package train

// underRace: the detector allocates on its own account.
const underRace = true
