package httpapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"sort"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/go-chi/chi/v5"
)

// LoadSpec reads an OpenAPI 3.0 document (YAML or JSON) and checks that it is valid and closed:
// every object in a request body sets additionalProperties: false, so that unknown fields are
// refused, and every operation's body is JSON. External references are not followed.
func LoadSpec(document []byte) (*openapi3.T, error) {
	spec, err := openapi3.NewLoader().LoadFromData(document)
	if err != nil {
		return nil, fmt.Errorf("read the OpenAPI document: %w", err)
	}
	if err := checkSpec(spec); err != nil {
		return nil, err
	}
	return spec, nil
}

func checkSpec(spec *openapi3.T) error {
	if spec.IsOpenAPI31OrLater() {
		return fmt.Errorf("OpenAPI document %s: only 3.0 is supported", spec.OpenAPI)
	}
	if err := spec.Validate(context.Background()); err != nil {
		return fmt.Errorf("OpenAPI document: %w", err)
	}
	var problems []error
	for path, item := range spec.Paths.Map() {
		for method, op := range item.Operations() {
			if op.RequestBody == nil {
				continue
			}
			for media, content := range op.RequestBody.Value.Content {
				where := method + " " + path
				if media != "application/json" || content.Schema == nil {
					problems = append(problems, fmt.Errorf("%s: the body must be application/json with a schema, not %s", where, media))
					continue
				}
				problems = append(problems, checkClosed(where, content.Schema, nil)...)
			}
		}
	}
	return errors.Join(problems...)
}

// checkClosed finds objects that accept unknown fields.
func checkClosed(where string, ref *openapi3.SchemaRef, visited []*openapi3.Schema) []error {
	if ref == nil || ref.Value == nil || slices.Contains(visited, ref.Value) {
		return nil
	}
	s := ref.Value
	visited = append(visited, s)
	var problems []error
	open := s.AdditionalProperties.Schema == nil && (s.AdditionalProperties.Has == nil || *s.AdditionalProperties.Has)
	if s.Type.Is("object") && open {
		problems = append(problems, fmt.Errorf("%s: an object without additionalProperties: false", where))
	}
	names := make([]string, 0, len(s.Properties))
	for name := range s.Properties {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		problems = append(problems, checkClosed(where+" "+name, s.Properties[name], visited)...)
	}
	return append(problems, checkClosed(where+"[]", s.Items, visited)...)
}

// ServeSpec responds with the document as JSON. It is encoded once.
func ServeSpec(spec *openapi3.T) (http.HandlerFunc, error) {
	data, err := spec.MarshalJSON()
	if err != nil {
		return nil, fmt.Errorf("encode the OpenAPI document: %w", err)
	}
	return func(w http.ResponseWriter, r *http.Request) {
		writeBody(w, http.StatusOK, "application/json", data)
	}, nil
}

// routes finds the operation of a request in the same way as the chi server that is generated from
// the same document, so that the two always agree.
type routes struct {
	mux  *chi.Mux
	spec *openapi3.T
}

func newRoutes(spec *openapi3.T) *routes {
	mux := chi.NewMux()
	for path, item := range spec.Paths.Map() {
		for method := range item.Operations() {
			mux.MethodFunc(method, path, func(http.ResponseWriter, *http.Request) {})
		}
	}
	return &routes{mux, spec}
}

// find returns the path of the document and the values of its parameters, or the methods that the
// path allows. It returns neither when there is no such path. The values of an escaped path are
// still escaped.
func (rs *routes) find(method, path string) (pattern string, values map[string]string, allowed []string) {
	rctx := chi.NewRouteContext()
	if rs.mux.Match(rctx, method, path) {
		values = map[string]string{}
		for i, key := range rctx.URLParams.Keys {
			values[key] = rctx.URLParams.Values[i]
		}
		return rctx.RoutePattern(), values, nil
	}
	for _, other := range [...]string{"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"} {
		if rs.mux.Match(chi.NewRouteContext(), other, path) {
			allowed = append(allowed, other)
		}
	}
	return "", nil, allowed
}

// formats are checks of string formats that the OpenAPI library does not include. They are passed
// to each validation instead of the library's globals.
func formats() []openapi3.SchemaValidationOption {
	uuid := regexp.MustCompile(`^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$`)
	// Something at a host, without spaces. Only sending mail shows whether mail arrives there.
	email := regexp.MustCompile(`^[^@\s<>",;]+@[^@\s<>",;]+$`)
	check := func(re *regexp.Regexp) openapi3.StringFormatValidator {
		return openapi3.NewCallbackValidator(func(s string) error {
			if !re.MatchString(s) {
				return errors.New("no match") // reason has the text
			}
			return nil
		})
	}
	return []openapi3.SchemaValidationOption{
		openapi3.WithStringFormatValidator("uuid", check(uuid)),
		openapi3.WithStringFormatValidator("email", check(email)),
	}
}
