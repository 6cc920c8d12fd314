package registry

import (
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	contentType = "application/vnd.schemaregistry.v1+json"
	// maxBody in bytes: a schema of the shop has some 2 KiB, and 1 MiB is also Kafka's own limit
	// for a message, in which Confluent's registry stores a schema.
	maxBody = 1 << 20
	// latest stands for the newest version, also in the API.
	latest = -1
)

// endpoint is the handlers of a path, by method.
type endpoint map[string]func(*http.Request) (any, error)

// Handler serves the API. A subject with slashes may be written as it is or escaped (%2F); a
// subject that contains the segment "versions" must be escaped.
func (r *Registry) Handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		req.Body = http.MaxBytesReader(w, req.Body, maxBody)
		result, err := r.serve(w.Header(), req)
		status := http.StatusOK
		if err != nil {
			var answer *apiError
			if !errors.As(err, &answer) {
				slog.Error("schema registry cannot answer", "method", req.Method, "path", req.URL.Path, "err", err)
				answer = refuse(codeStoreFailed, "Error in the backend data store: %v", err)
			}
			status, result = answer.status(), answer
		}
		w.Header().Set("Content-Type", contentType)
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(result) // fails only when the client has disconnected
	})
}

func (r *Registry) serve(header http.Header, req *http.Request) (any, error) {
	path, err := segments(req.URL.EscapedPath())
	if err != nil {
		return nil, err
	}
	if err := r.breakable.spoils(req, path); err != nil {
		return nil, err
	}
	offered := r.route(path)
	if offered == nil {
		return nil, refuse(http.StatusNotFound, "HTTP 404 Not Found: no such path")
	}
	method := req.Method
	if method == http.MethodHead {
		method = http.MethodGet
	}
	handle, ok := offered[method]
	if !ok {
		var allowed []string
		for m := range offered {
			allowed = append(allowed, m)
		}
		slices.Sort(allowed)
		header.Set("Allow", strings.Join(allowed, ", "))
		return nil, refuse(http.StatusMethodNotAllowed, "HTTP 405 Method Not Allowed")
	}
	return handle(req)
}

// segments splits a path before it decodes it, so that an escaped slash does not split.
func segments(escaped string) ([]string, error) {
	path := strings.Split(strings.TrimSuffix(strings.TrimPrefix(escaped, "/"), "/"), "/")
	for i, s := range path {
		decoded, err := url.PathUnescape(s)
		if err != nil {
			return nil, refuse(http.StatusBadRequest, "Path cannot be decoded: %v", err)
		}
		path[i] = decoded
	}
	return path, nil
}

// route returns the endpoint of a path, or nil.
func (r *Registry) route(path []string) endpoint {
	rest := path[1:]
	switch path[0] {
	case "":
		if len(rest) == 0 {
			return endpoint{"GET": func(*http.Request) (any, error) { return struct{}{}, nil }}
		}
	case "livez":
		if len(rest) == 0 {
			return endpoint{"GET": func(*http.Request) (any, error) { return struct{}{}, nil }}
		}
	case "readyz":
		if len(rest) == 0 {
			return endpoint{"GET": r.getReady}
		}
	case "faults":
		if len(rest) == 0 {
			return r.breakable.endpoint()
		}
	case "subjects":
		if len(rest) == 0 {
			return endpoint{"GET": r.getSubjects}
		}
		subject, number, hasVersions := splitSubject(rest)
		switch {
		case !hasVersions:
			return endpoint{"POST": on(subject, r.postLookUp)}
		case number == "":
			return endpoint{"GET": on(subject, r.getVersions), "POST": on(subject, r.postVersion)}
		default:
			return endpoint{"GET": on(subject, func(s string, _ *http.Request) (any, error) { return r.getVersion(s, number) })}
		}
	case "compatibility":
		if len(rest) > 1 && rest[0] == "subjects" {
			if subject, number, hasVersions := splitSubject(rest[1:]); hasVersions {
				return endpoint{"POST": on(subject, func(s string, req *http.Request) (any, error) {
					return r.postCompatibility(s, number, req)
				})}
			}
		}
	case "schemas":
		switch {
		case len(rest) == 2 && rest[0] == "ids":
			return endpoint{"GET": func(*http.Request) (any, error) { return r.getSchema(rest[1]) }}
		case len(rest) == 3 && rest[0] == "ids" && rest[2] == "versions":
			return endpoint{"GET": func(*http.Request) (any, error) { return r.getUses(rest[1]) }}
		}
	case "config":
		if len(rest) == 0 {
			return endpoint{
				"GET": func(*http.Request) (any, error) { return r.getGlobalLevel() },
				"PUT": func(req *http.Request) (any, error) { return r.putLevel("", req) },
			}
		}
		subject := strings.Join(rest, "/")
		return endpoint{"GET": on(subject, r.getLevel), "PUT": on(subject, r.putLevel)}
	}
	return nil
}

// splitSubject splits {subject}, {subject}/versions or {subject}/versions/{number}.
func splitSubject(path []string) (subject, number string, hasVersions bool) {
	n := len(path)
	switch {
	case n >= 2 && path[n-1] == "versions":
		return strings.Join(path[:n-1], "/"), "", true
	case n >= 3 && path[n-2] == "versions":
		return strings.Join(path[:n-2], "/"), path[n-1], true
	}
	return strings.Join(path, "/"), "", false
}

// on calls handle with a valid subject. Invalid UTF-8 would change when it passes through the
// journal.
func on(subject string, handle func(string, *http.Request) (any, error)) func(*http.Request) (any, error) {
	return func(req *http.Request) (any, error) {
		if subject == "" || !utf8.ValidString(subject) || strings.ContainsFunc(subject, unicode.IsControl) {
			return nil, refuse(codeInvalidSubject, "The specified subject %q is not a valid subject.", subject)
		}
		return handle(subject, req)
	}
}

// readBody decodes the body into v. It ignores fields that this registry does not use.
func readBody(req *http.Request, v any) error {
	body, err := io.ReadAll(req.Body)
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return refuse(http.StatusRequestEntityTooLarge, "Body is larger than %d bytes", tooLarge.Limit)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return refuse(http.StatusRequestTimeout, "Body did not arrive in time")
	case err != nil:
		return refuse(http.StatusBadRequest, "Body cannot be read: %v", err)
	}
	if err := json.Unmarshal(body, v); err != nil {
		return refuse(http.StatusBadRequest, "Body is not the JSON expected: %v", err)
	}
	return nil
}

// parseVersion parses a version's number; latest is the newest version.
func parseVersion(s string) (int, error) {
	if s == "latest" || s == strconv.Itoa(latest) {
		return latest, nil
	}
	n, err := strconv.ParseInt(s, 10, 32)
	if err != nil || n < 1 {
		return 0, refuse(codeInvalidVersion, "The specified version %q is not a valid version id. "+
			"Allowed values are between [1, 2^31-1] and the string \"latest\"", s)
	}
	return int(n), nil
}
