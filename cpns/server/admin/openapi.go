package admin

import (
	"encoding/json"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"cpns.example.net/pngw/cpns"
	"cpns.example.net/pngw/cpns/server"
)

// OpenAPI describes the API as an OpenAPI 3.1 document, of the program's version.
func OpenAPI(version string) ([]byte, error) {
	d := &document{schemas: make(map[string]any)}
	paths := make(map[string]map[string]any)
	for _, e := range endpoints() {
		path := Prefix + e.path
		if paths[path] == nil {
			paths[path] = make(map[string]any)
		}
		paths[path][strings.ToLower(e.method)] = d.operation(e)
	}
	d.schemas["problem"] = d.object(reflect.TypeFor[problemBody](), true)
	if version == "" {
		version = "0"
	}
	return json.MarshalIndent(map[string]any{
		"openapi": "3.1.0",
		"info": map[string]any{
			"title":       "CPNS Server, admin API",
			"version":     version,
			"description": "What the commands of cpns-server do, over HTTPS. Each operation says in x-cpns-role which role it takes; admin may what operator may, and operator what auditor may.",
			"license":     map[string]string{"name": "See LICENSE of the program"},
		},
		"servers":    []any{map[string]string{"url": "/"}},
		"paths":      paths,
		"components": map[string]any{"schemas": d.schemas, "securitySchemes": securitySchemes, "responses": d.problemResponses()},
	}, "", " ")
}

var securitySchemes = map[string]any{
	"token":       map[string]string{"type": "http", "scheme": "bearer", "description": "a token of cpns-server token add"},
	"certificate": map[string]string{"type": "mutualTLS", "description": "a client certificate whose common name was let in by cpns-server token add --certificate"},
}

// A document is being made; schemas are those that have a name in it.
type document struct{ schemas map[string]any }

// statuses are all that an endpoint may answer with.
func (e *endpoint) statuses() []int {
	all := append([]int{e.success, 400, 429, 500, 503}, e.problems...)
	if e.role != "" {
		all = append(all, 401)
	}
	if e.method != http.MethodGet || e.role != "" && e.role != server.RoleAuditor {
		all = append(all, 403)
	}
	if e.body != nil {
		all = append(all, 413, 415)
	}
	if e.once { // a key that was used for something else
		all = append(all, 422)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

func (d *document) operation(e *endpoint) map[string]any {
	op := map[string]any{"operationId": e.id, "summary": e.summary, "security": []any{}}
	if e.role != "" {
		op["x-cpns-role"] = e.role
		op["security"] = []any{map[string]any{"token": []string{}}, map[string]any{"certificate": []string{}}}
	}
	var parameters []any
	for segment := range strings.SplitSeq(e.path, "/") {
		if name, ok := strings.CutPrefix(segment, "{"); ok {
			parameters = append(parameters, map[string]any{"name": strings.TrimSuffix(name, "}"), "in": "path", "required": true, "schema": map[string]any{"type": "string", "minLength": 1}})
		}
	}
	for _, p := range e.query {
		schema := map[string]any{"type": "string"}
		if p.integer {
			schema = map[string]any{"type": "integer", "minimum": 1, "maximum": pageMost, "default": pageDefault}
		}
		parameters = append(parameters, map[string]any{"name": p.name, "in": "query", "description": p.about, "schema": schema})
	}
	if e.once {
		parameters = append(parameters, map[string]any{"name": idempotencyKey, "in": "header",
			"description": "chosen by the caller, a new one for each request: the same request with the same key again, within a day, gets the same answer and changes nothing",
			"schema":      map[string]any{"type": "string", "pattern": "^[!-~]{1,128}$"}})
	}
	if parameters != nil {
		op["parameters"] = parameters
	}
	if e.body != nil {
		op["requestBody"] = map[string]any{"required": true, "content": content("application/json", d.schema(e.body, true))}
	}
	responses := make(map[string]any)
	for _, status := range e.statuses() {
		if status != e.success {
			responses[strconv.Itoa(status)] = map[string]any{"$ref": "#/components/responses/" + strconv.Itoa(status)}
		}
	}
	done := map[string]any{"description": http.StatusText(e.success)}
	if e.id == "openAPI" {
		done["content"] = content("application/json", map[string]any{"type": "object"})
	} else if e.reply != nil {
		done["content"] = content("application/json", d.schema(e.reply, false))
	}
	responses[strconv.Itoa(e.success)] = done
	op["responses"] = responses
	return op
}

func content(mediaType string, schema any) map[string]any {
	return map[string]any{mediaType: map[string]any{"schema": schema}}
}

// problemResponses are the answers that say why not.
func (d *document) problemResponses() map[string]any {
	all := make(map[string]any)
	for _, e := range endpoints() {
		for _, status := range e.statuses() {
			if status < 400 {
				continue
			}
			response := map[string]any{"description": http.StatusText(status), "content": content("application/problem+json", map[string]any{"$ref": "#/components/schemas/problem"})}
			if status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable {
				response["headers"] = map[string]any{"Retry-After": map[string]any{"description": "seconds", "schema": map[string]any{"type": "integer", "minimum": 1}}}
			}
			all[strconv.Itoa(status)] = response
		}
	}
	return all
}

var ids = []reflect.Type{reflect.TypeFor[cpns.UserID](), reflect.TypeFor[cpns.GatewayID](), reflect.TypeFor[cpns.EntityID]()}

// schema describes a type. in is for what is sent to the server, which takes no member
// that it does not know.
func (d *document) schema(t reflect.Type, in bool) map[string]any {
	switch {
	case t == reflect.TypeFor[time.Time]():
		return map[string]any{"type": "string", "format": "date-time"}
	case slices.Contains(ids, t):
		return map[string]any{"type": "string", "pattern": "^[!-~]{0,64}$"}
	case t == reflect.TypeFor[[]byte]():
		return map[string]any{"type": "string", "contentEncoding": "base64"}
	}
	switch t.Kind() {
	case reflect.Pointer:
		s := d.schema(t.Elem(), in)
		if s["type"] == "string" {
			s["type"] = []string{"string", "null"}
		}
		return s
	case reflect.Bool:
		return map[string]any{"type": "boolean"}
	case reflect.Int, reflect.Int64, reflect.Uint32:
		return map[string]any{"type": "integer"}
	case reflect.Slice:
		return map[string]any{"type": "array", "items": d.schema(t.Elem(), in)}
	case reflect.Struct:
		if t.Name() == "" || strings.Contains(t.Name(), "[") {
			return d.object(t, in)
		}
		if d.schemas[t.Name()] == nil {
			d.schemas[t.Name()] = true // against a loop
			d.schemas[t.Name()] = d.object(t, in)
		}
		return map[string]any{"$ref": "#/components/schemas/" + t.Name()}
	}
	return map[string]any{"type": "string"}
}

// object describes a struct by its fields.
func (d *document) object(t reflect.Type, closed bool) map[string]any {
	properties, required := make(map[string]any), []string{}
	for _, f := range reflect.VisibleFields(t) {
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if f.Anonymous || name == "" {
			continue
		}
		s := d.schema(f.Type, closed)
		if about := f.Tag.Get("doc"); about != "" {
			s["description"] = about
		}
		properties[name] = s
		if options != "omitempty" {
			required = append(required, name)
		}
	}
	o := map[string]any{"type": "object", "properties": properties, "required": required}
	if closed {
		o["additionalProperties"] = false
	}
	return o
}
