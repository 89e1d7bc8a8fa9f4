package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
)

// body reads a request's body. It does so to the end: only then does net/http
// watch for the client's going away. Where it is not ok it has answered.
func body(w http.ResponseWriter, r *http.Request) (text []byte, ok bool) {
	text, err := io.ReadAll(r.Body)
	if err != nil {
		status := http.StatusBadRequest
		if tooLong := new(http.MaxBytesError); errors.As(err, &tooLong) {
			status = http.StatusRequestEntityTooLarge
		}
		answer(w, status, problem{"the body is not there, or too long"})
	}
	return text, err == nil
}

// decode takes a body apart. It does not say what is wrong with one, because
// the decoder's error may quote it, and it may have a secret in it.
func decode(text []byte, v any) bool {
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if d.Decode(v) != nil {
		return false
	}
	_, err := d.Token()
	return err == io.EOF // nothing stands behind it
}

// stream writes lines as they come. Each has its own time to be written (see
// punctual), so that the stream may take as long as the devices do, and a client
// that has stopped reading does not hold anything up for longer than that.
type stream struct {
	w       http.ResponseWriter
	control *http.ResponseController
	giveUp  context.CancelFunc
	begun   bool // a line has been written
	err     error
}

func newStream(w http.ResponseWriter, giveUp context.CancelFunc) *stream {
	w.Header().Set("Content-Type", "application/x-ndjson")
	return &stream{w: w, control: http.NewResponseController(w), giveUp: giveUp}
}

func (s *stream) write(v any) {
	if s.err != nil {
		return
	}
	s.begun = true
	line, err := json.Marshal(v)
	if err == nil {
		_, err = s.w.Write(append(line, '\n'))
	}
	if err == nil {
		err = s.control.Flush()
	}
	if err != nil {
		s.err = err
		s.giveUp()
	}
}

// end writes why a stream ends early, where it does.
func (s *stream) end(r *http.Request, err error) {
	switch {
	case r.Context().Err() != nil && s.err == nil:
		s.write(problem{"the agent is stopping"})
	case err != nil:
		s.write(problem{err.Error()})
	}
}
