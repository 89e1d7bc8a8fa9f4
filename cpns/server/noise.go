package server

import "strings"

// Kinds of log lines that anybody who can reach the server can cause. Each kind has a
// budget, so that nobody can fill the disk with them.
const (
	noiseRefused    = "request refused"
	noiseEnded      = "request ended by its sender"
	noiseGateway    = "gateway sends too many requests"
	noiseConnection = "connection failed"
	noiseHealth     = "health check failed"
	noiseBSF        = "the bootstrapping server does not answer"
	// An authentic request, and so perhaps anybody's copy of one.
	noiseOutOfWindow = "request from another time"
)

var noises = [...]string{noiseRefused, noiseEnded, noiseGateway, noiseConnection, noiseHealth, noiseBSF, noiseOutOfWindow}

// logNoise logs a line of the kind unless there were too many.
func (s *Server) logNoise(kind string, args ...any) {
	if s.noise.take(kind, s.now()) == 0 {
		s.log.Info(kind, args...)
	} else {
		s.tally.suppressed.Add(1)
	}
}

// A noiseWriter takes what package http has to say about connections.
type noiseWriter struct{ s *Server }

func (w noiseWriter) Write(line []byte) (int, error) {
	w.s.logNoise(noiseConnection, "error", strings.TrimSpace(string(line)))
	return len(line), nil
}
