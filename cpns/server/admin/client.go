package admin

import (
	"errors"
	"net/url"
	"strings"
)

var errAnswer = errors.New("the server's answer is none of the admin API")

// pathEscape is an ID as a segment of a path. One of dots only would be taken for a way
// up.
func pathEscape(id string) string {
	return strings.ReplaceAll(url.PathEscape(id), ".", "%2E")
}
