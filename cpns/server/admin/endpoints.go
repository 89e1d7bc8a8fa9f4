package admin

import (
	"net/http"
	"reflect"
	"strconv"

	"cpns.example.net/pngw/cpns/server"
)

// An endpoint is one thing to ask for.
type endpoint struct {
	id, method, path string
	role             server.Role // that it takes at least; "" for everyone
	summary          string
	query            []parameter
	body, reply      reflect.Type // nil for none
	success          int
	problems         []int // beside those that every endpoint has
	once             bool  // takes an idempotency key
	slow             bool  // takes a large body, and its time

	decode func([]byte) (any, error)
	do     func(*call, any) (any, error)
}

// A parameter stands behind the ? of a URL.
type parameter struct {
	name, about string
	integer     bool
}

// nothing is the body or the reply of an endpoint that has none.
type nothing struct{}

// asks makes an endpoint's body and reply of those of the function that does it.
func asks[In, Out any](e endpoint, do func(*call, *In) (*Out, error)) *endpoint {
	if in := reflect.TypeFor[In](); in != reflect.TypeFor[nothing]() {
		e.body = in
	}
	if out := reflect.TypeFor[Out](); out != reflect.TypeFor[nothing]() {
		e.reply = out
	} else if e.success == 0 {
		e.success = http.StatusNoContent
	}
	if e.success == 0 {
		e.success = http.StatusOK
	}
	e.decode = func(body []byte) (any, error) {
		in := new(In)
		if e.body == nil {
			return in, nil
		}
		return in, decodeStrict(body, in)
	}
	e.do = func(c *call, in any) (any, error) {
		out, err := do(c, in.(*In))
		if err != nil || e.reply == nil {
			return nil, err
		}
		return out, nil
	}
	return &e
}

// endpoints are all that there are.
func endpoints() (all []*endpoint) {
	for _, part := range [][]*endpoint{generalEndpoints(), healthEndpoints(), userEndpoints(), gatewayEndpoints(), enrolmentEndpoints(), invitationEndpoints(), pneEndpoints(), auditEndpoints(), tokenEndpoints()} {
		all = append(all, part...)
	}
	return all
}

// A list is one page of a listing.
type list[T any] struct {
	Items []T    `json:"items"`
	Next  string `json:"next,omitempty" doc:"what to give as after for the next page; missing on the last one"`
}

// How many a page has.
const (
	pageDefault = 100
	pageMost    = 1000
)

var (
	after = parameter{name: "after", about: "the next of the page before"}
	limit = parameter{name: "limit", about: "at most so many, 1 to 1000; 100 where it is missing", integer: true}
)

func paged(more ...parameter) []parameter { return append([]parameter{after, limit}, more...) }

// param is a parameter of the URL, "" where it is missing.
func (c *call) param(name string) string { return c.r.URL.Query().Get(name) }

// limit is how many the caller wants.
func (c *call) limit() (int, error) {
	s := c.param("limit")
	if s == "" {
		return pageDefault, nil
	}
	n, err := strconv.ParseUint(s, 10, 16)
	if err != nil || n < 1 || n > pageMost {
		return 0, malformed("limit: 1 to %d", pageMost)
	}
	return int(n), nil
}

// pageOf makes a page of rows, of which there are more where it is full.
func pageOf[R, T any](rows []R, most int, item func(R) T, key func(R) string) *list[T] {
	p := &list[T]{Items: make([]T, 0, len(rows))}
	for _, row := range rows {
		p.Items = append(p.Items, item(row))
	}
	if len(rows) == most {
		p.Next = key(rows[len(rows)-1])
	}
	return p
}

// named reads an ID that stands in the path or in a body.
func named[ID any](s string, parse func(string) (ID, error)) (ID, error) {
	id, err := parse(s)
	if err != nil {
		return id, malformed("%v", err)
	}
	return id, nil
}

// inPath reads the ID that stands in the path.
func inPath[ID any](c *call, name string, parse func(string) (ID, error)) (ID, error) {
	return named(c.r.PathValue(name), parse)
}
