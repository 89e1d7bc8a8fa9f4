package sqlite

import "cpns.example.net/pngw/cpns/server"

// find finds what an inquiry asks for.
func (t *tx) find(q *server.Inquiry) (*server.Findings, error) { return q.Find(t) }
