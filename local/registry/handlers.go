package registry

import (
	"net/http"
	"strconv"

	"eventshop.example/pkg/schema"
)

// schemaBody is the body of requests that carry a schema.
type schemaBody struct {
	Schema     string `json:"schema"`
	SchemaType string `json:"schemaType"` // empty for AVRO
	References []any  `json:"references"`
}

func readSchema(req *http.Request) (string, error) {
	var body schemaBody
	if err := readBody(req, &body); err != nil {
		return "", err
	}
	switch {
	case body.SchemaType != "" && body.SchemaType != "AVRO":
		return "", refuse(codeInvalidSchema, "Invalid schema: this registry knows no type but AVRO, not %q", body.SchemaType)
	case len(body.References) > 0:
		return "", refuse(codeInvalidSchema, "Invalid schema: this registry does not resolve references")
	}
	return body.Schema, nil
}

func (r *Registry) getReady(*http.Request) (any, error) {
	if err := r.journal.failure(); err != nil {
		return nil, refuse(http.StatusServiceUnavailable, "The journal cannot be written: %v", err)
	}
	return struct{}{}, nil
}

func (r *Registry) getSubjects(*http.Request) (any, error) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.subjectNames(), nil
}

func (r *Registry) getVersions(subject string, _ *http.Request) (any, error) {
	versions, err := r.versions(subject)
	if err != nil {
		return nil, err
	}
	numbers := make([]int, len(versions))
	for i, v := range versions {
		numbers[i] = v.Version
	}
	return numbers, nil
}

func (r *Registry) getVersion(subject, number string) (any, error) {
	n, err := parseVersion(number)
	if err != nil {
		return nil, err
	}
	return r.version(subject, n)
}

func (r *Registry) postVersion(subject string, req *http.Request) (any, error) {
	text, err := readSchema(req)
	if err != nil {
		return nil, err
	}
	id, err := r.register(subject, text)
	if err != nil {
		return nil, err
	}
	return map[string]int{"id": id}, nil
}

func (r *Registry) postLookUp(subject string, req *http.Request) (any, error) {
	text, err := readSchema(req)
	if err != nil {
		return nil, err
	}
	return r.lookUp(subject, text)
}

// parseID parses the id of a schema. Confluent's registry answers a bare 404 for text that is not a
// number; this code is one that clients understand.
func parseID(s string) (int, error) {
	id, err := strconv.ParseInt(s, 10, 32)
	if err != nil {
		return 0, schemaNotFound("with id " + strconv.Quote(s))
	}
	return int(id), nil
}

func (r *Registry) getSchema(id string) (any, error) {
	n, err := parseID(id)
	if err != nil {
		return nil, err
	}
	text, _, err := r.schemaByID(n)
	if err != nil {
		return nil, err
	}
	return map[string]string{"schema": text}, nil
}

func (r *Registry) getUses(id string) (any, error) {
	n, err := parseID(id)
	if err != nil {
		return nil, err
	}
	_, uses, err := r.schemaByID(n)
	return uses, err
}

// compatibility is the answer to a check. It has messages only for ?verbose=true.
type compatibility struct {
	Compatible bool     `json:"is_compatible"`
	Messages   []string `json:"messages,omitempty"`
}

// postCompatibility checks against one version or, without a number, against the versions that a
// registration would be checked against.
func (r *Registry) postCompatibility(subject, number string, req *http.Request) (any, error) {
	text, err := readSchema(req)
	if err != nil {
		return nil, err
	}
	reasons, err := r.tryVersion(subject, number, text)
	if err != nil {
		return nil, err
	}
	answer := compatibility{Compatible: len(reasons) == 0}
	if req.URL.Query().Get("verbose") == "true" {
		answer.Messages = reasons
	}
	return answer, nil
}

type levelBody struct {
	Compatibility schema.Level `json:"compatibility"`
}

type levelAnswer struct {
	Level schema.Level `json:"compatibilityLevel"`
}

func (r *Registry) getGlobalLevel() (any, error) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return levelAnswer{r.global}, nil
}

func (r *Registry) getLevel(subject string, req *http.Request) (any, error) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if _, own := r.levels[subject]; !own && req.URL.Query().Get("defaultToGlobal") != "true" {
		return nil, refuse(codeSubjectLevelNotFound,
			"Subject %q does not have subject-level compatibility configured", subject)
	}
	return levelAnswer{r.level(subject)}, nil
}

func (r *Registry) putLevel(subject string, req *http.Request) (any, error) {
	var body levelBody
	if err := readBody(req, &body); err != nil {
		return nil, err
	}
	if err := r.setLevel(subject, body.Compatibility); err != nil {
		return nil, err
	}
	return body, nil
}
