package httpapi

import (
	"errors"
	"sort"
	"strconv"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"

	"eventshop.example/pkg/errs"
)

// maxFieldErrors bounds a response: a body of 1 MiB can have 100,000 errors.
const maxFieldErrors = 20

// schemaErrors converts the schema's errors about value to field errors.
func schemaErrors(value any, err error) error {
	var fields []error
	for _, e := range flatten(err) {
		if len(fields) == maxFieldErrors {
			break
		}
		path := fieldPath(value, e.JSONPointer())
		if name, ok := unknownField(e); ok {
			fields = append(fields, errs.Field(joinPath(append(path, name)), "is unknown"))
			continue
		}
		fields = append(fields, errs.Field(joinPath(path), "%s", reason(e)))
	}
	if len(fields) == 0 {
		return errs.New(errs.Invalid, "the body does not match its schema")
	}
	// The library's order is the schema's, not the input's; by name it is stable.
	sort.SliceStable(fields, func(i, j int) bool { return fields[i].Error() < fields[j].Error() })
	return errors.Join(fields...)
}

// parameterError returns an error with the parameter's name and what is wrong with it.
func parameterError(p *openapi3.Parameter, err error) error {
	if errors.Is(err, openapi3filter.ErrInvalidRequired) {
		return errs.Field(p.Name, "is required")
	}
	if errors.Is(err, openapi3filter.ErrInvalidEmptyValue) {
		return errs.Field(p.Name, "must not be empty")
	}
	if all := flatten(err); len(all) > 0 {
		return errs.Field(p.Name, "%s", reason(all[0]))
	}
	if p.Schema != nil && p.Schema.Value.Type != nil {
		return errs.Field(p.Name, "must be of type %s", strings.Join(p.Schema.Value.Type.Slice(), " or "))
	}
	return errs.Field(p.Name, "is malformed")
}

// flatten finds the schema errors in err's chain. It replaces those of allOf, oneOf and anyOf by
// the errors inside them.
func flatten(err error) []*openapi3.SchemaError {
	switch e := err.(type) { //nolint:errorlint // every error of the chain is looked at
	case nil:
		return nil
	case *openapi3.SchemaError:
		if inner := flatten(e.Origin); len(inner) > 0 {
			return inner
		}
		return []*openapi3.SchemaError{e}
	case interface{ Unwrap() []error }:
		return flattenAll(e.Unwrap())
	case openapi3.MultiError:
		return flattenAll(e)
	}
	return flatten(errors.Unwrap(err))
}

func flattenAll(all []error) []*openapi3.SchemaError {
	var out []*openapi3.SchemaError
	for _, e := range all {
		out = append(out, flatten(e)...)
	}
	return out
}

// fieldPath converts a JSON pointer to segments, with [n] for an index of an array in value.
func fieldPath(value any, pointer []string) []string {
	path := make([]string, 0, len(pointer)+1)
	for _, p := range pointer {
		switch v := value.(type) {
		case []any:
			if i, err := strconv.Atoi(p); err == nil && i >= 0 && i < len(v) {
				value = v[i]
			}
			path = append(path, "["+p+"]")
			continue
		case map[string]any:
			value = v[p]
		}
		path = append(path, p)
	}
	return path
}

// unknownField extracts the name from the library's text, which is the only place that contains it.
func unknownField(e *openapi3.SchemaError) (string, bool) {
	rest, ok := strings.CutPrefix(e.Reason, "property ")
	if e.SchemaField != "properties" || !ok {
		return "", false
	}
	quoted, err := strconv.QuotedPrefix(rest)
	if err != nil {
		return "", false
	}
	name, err := strconv.Unquote(quoted)
	return name, err == nil
}

// reason completes the sentence "the field …" without repeating the value.
func reason(e *openapi3.SchemaError) string {
	s := e.Schema
	switch e.SchemaField {
	case "required":
		return "is required"
	case "nullable":
		return "must not be null"
	case "format":
		switch s.Format {
		case "uuid":
			return "must be a UUID"
		case "email":
			return "must be an e-mail address"
		case "int32", "int64":
			return "is out of range"
		}
		return "must be of format " + s.Format
	case "type":
		if strings.HasPrefix(e.Reason, "cannot convert") {
			return "is out of range"
		}
	case "minLength":
		if s.MinLength == 1 {
			return "must not be empty"
		}
		return "must have at least " + strconv.FormatUint(s.MinLength, 10) + " characters"
	case "maxLength":
		return "must have at most " + strconv.FormatUint(*s.MaxLength, 10) + " characters"
	case "minItems":
		return "must have at least " + strconv.FormatUint(s.MinItems, 10) + " elements"
	case "maxItems":
		return "must have at most " + strconv.FormatUint(*s.MaxItems, 10) + " elements"
	case "minimum":
		return "must be at least " + number(*s.Min)
	case "maximum":
		return "must be at most " + number(*s.Max)
	case "pattern":
		return "must match " + s.Pattern
	}
	text := e.Reason
	for _, subject := range [...]string{"value ", "number ", "string "} {
		text = strings.TrimPrefix(text, subject)
	}
	if text == "" {
		return "breaks the rule " + e.SchemaField
	}
	return text
}

func number(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }

func shorten(name string) string { return joinPath([]string{strings.ToValidUTF8(name, "\uFFFD")}) }
