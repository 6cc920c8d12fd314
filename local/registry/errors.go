package registry

import (
	"fmt"
	"net/http"
	"strings"

	"eventshop.example/pkg/schema"
)

// Error codes of Confluent's registry API.
const (
	codeSubjectNotFound      = 40401
	codeVersionNotFound      = 40402
	codeSchemaNotFound       = 40403
	codeSubjectLevelNotFound = 40408
	codeInvalidSchema        = 42201
	codeInvalidVersion       = 42202
	codeInvalidLevel         = 42203
	codeNotPermitted         = 42205
	codeInvalidSubject       = 42208
	codeStoreFailed          = 50001
)

// apiError is an error answer.
type apiError struct {
	Code    int    `json:"error_code"` // an HTTP status, or one with two more digits
	Message string `json:"message"`
}

func (e *apiError) Error() string { return e.Message }

func (e *apiError) status() int {
	if e.Code >= 1000 {
		return e.Code / 100
	}
	return e.Code
}

func refuse(code int, format string, args ...any) *apiError {
	return &apiError{Code: code, Message: fmt.Sprintf(format, args...)}
}

func subjectNotFound(subject string) error {
	return refuse(codeSubjectNotFound, "Subject %q not found.", subject)
}

func versionNotFound(subject string, number int) error {
	return refuse(codeVersionNotFound, "Version %d of subject %q not found.", number, subject)
}

func schemaNotFound(which string) error {
	return refuse(codeSchemaNotFound, "Schema %s not found.", which)
}

func invalidSchema(err error) error {
	return refuse(codeInvalidSchema, "Invalid schema: %v", err)
}

func invalidLevel(level string) error {
	return refuse(codeInvalidLevel, "Invalid compatibility level %q. Levels are NONE, BACKWARD, FORWARD, FULL, "+
		"BACKWARD_TRANSITIVE, FORWARD_TRANSITIVE and FULL_TRANSITIVE.", level)
}

func incompatible(subject string, level schema.Level, reasons []string) error {
	return refuse(http.StatusConflict, "Schema being registered is incompatible with an earlier schema for subject %q at level %s: %s",
		subject, level, strings.Join(reasons, "; "))
}
