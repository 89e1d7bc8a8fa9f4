//go:build race

package life

// underRace says that the race detector watches, which takes ten times the time.
// There is nothing for it to see: nothing in here runs beside anything.
const underRace = true
