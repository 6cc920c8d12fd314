package operator

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"slices"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/events"
	"eventshop.example/pkg/httpapi"
	"eventshop.example/pkg/retry"
	"eventshop.example/pkg/schema"
)

// change is the body of a request to edit.
type change struct {
	Key           *string           `json:"key"`
	KeyBase64     *string           `json:"keyBase64"`
	Headers       *[]header         `json:"headers"`
	SetHeaders    map[string]string `json:"setHeaders"`
	Payload       json.RawMessage   `json:"payload"`
	PayloadBase64 *string           `json:"payloadBase64"`
	Note          string            `json:"note"`
	DryRun        bool              `json:"dryRun"`
}

// edit answers PATCH /dead-letters/{id}.
func (a *api) edit(r *http.Request) (any, error) {
	id, err := idOf(r)
	if err != nil {
		return nil, err
	}
	actor, err := actorOf(r)
	if err != nil {
		return nil, err
	}
	c, err := httpapi.Decode[change](r)
	if err != nil {
		return nil, err
	}
	before, err := a.Store.Get(r.Context(), a.Pool, id)
	if err != nil {
		return nil, err
	}
	e, err := a.editOf(r.Context(), c, before.Effective())
	if err != nil {
		return nil, err
	}
	d, err := a.Store.Edit(r.Context(), a.Pool, id, actor, e, c.DryRun)
	if err != nil {
		return nil, err
	}
	a.did(r, c.DryRun, "dead letter edited", id, actor, "note", c.Note)
	actions, err := a.Store.Actions(r.Context(), a.Pool, id)
	if err != nil {
		return nil, err
	}
	answer := a.detailOf(r.Context(), d, actions)
	answer.Warnings = a.warnings(r.Context(), d.Effective())
	return answer, nil
}

// editOf turns a request into what the store is to change of a record. Errors are those
// of Codec.EncodeJSON, and errs.Invalid naming the field.
func (a *api) editOf(ctx context.Context, c change, r retry.Record) (e retry.Edit, err error) {
	e.Note = c.Note
	if e.Key, err = bytesOf("key", c.Key, c.KeyBase64); err != nil {
		return e, err
	}
	if c.Payload != nil && c.PayloadBase64 != nil {
		return e, errs.Field("payloadBase64", "must not be given beside payload")
	}
	if e.Value, err = bytesOf("payload", nil, c.PayloadBase64); err != nil {
		return e, err
	}
	if c.Headers != nil {
		if e.Headers, err = headersOf(*c.Headers); err != nil {
			return e, err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.SetHeaders)) {
		e.Set = append(e.Set, events.Header{Key: name, Value: []byte(c.SetHeaders[name])})
	}
	if c.Payload != nil {
		value, err := a.encode(ctx, e.Apply(r), c.Payload)
		if err != nil {
			return e, err
		}
		e.Value = &value
	}
	return e, nil
}

// bytesOf returns what a text or its base64 says; nil when nothing is said.
func bytesOf(name string, text, base *string) (*[]byte, error) {
	switch {
	case text != nil && base != nil:
		return nil, errs.Field(name+"Base64", "must not be given beside %s", name)
	case text != nil:
		b := []byte(*text)
		return &b, nil
	case base != nil:
		b, err := base64.StdEncoding.DecodeString(*base)
		if err != nil {
			return nil, errs.Field(name+"Base64", "must be base64")
		}
		return &b, nil
	}
	return nil, nil
}

// encode writes a payload with the schema the record's bytes were written with. Where
// they do not tell, or tell of another record than the event type in the headers, it is
// the newest of that type.
func (a *api) encode(ctx context.Context, r retry.Record, object []byte) ([]byte, error) {
	name := eventType(r.Headers)
	typ, known := events.Lookup(name)
	var value []byte
	id, err := schema.SchemaID(r.Value)
	if err == nil {
		value, err = a.Codec.EncodeJSON(ctx, typ.Subject, id, object)
	}
	if errs.KindOf(err) == errs.Hopeless && known {
		value, err = a.Codec.EncodeJSON(ctx, typ.Subject, 0, object)
	}
	switch kind := errs.KindOf(err); {
	case err == nil:
		return value, nil
	case kind == errs.Hopeless && !known:
		return nil, errs.Field("payload", "cannot be encoded: neither the record's bytes nor its event type %q name a schema; set the header %s, or send payloadBase64",
			name, events.HeaderType)
	case kind == errs.Hopeless || kind == errs.NotFound:
		return nil, errs.Field("payload", "cannot be encoded: %v", err)
	case kind == errs.Invalid:
		return nil, within("payload", err)
	}
	return nil, err
}

// within puts the fields of err into an object.
func within(object string, err error) error {
	var all []error
	for _, f := range errs.Fields(err) {
		path := object
		if f.Field != "" {
			path += "." + f.Field
		}
		all = append(all, errs.Field(path, "%s", f.Detail))
	}
	if len(all) == 0 {
		return errs.Field(object, "%v", err)
	}
	return errors.Join(all...)
}

func eventType(headers []events.Header) string {
	for _, h := range headers {
		if h.Key == events.HeaderType {
			return string(h.Value)
		}
	}
	return ""
}

// warnings tells what would keep a consumer from handling a record.
func (a *api) warnings(ctx context.Context, r retry.Record) []string {
	env, _, err := events.ReadEnvelope(r.Headers, r.Time)
	if err != nil {
		return []string{"it is still no event: " + err.Error()}
	}
	typ, ok := events.Lookup(env.Type)
	switch {
	case !ok:
		return []string{"its event type " + env.Type + " is none this program knows: it would be ignored"}
	case typ.Topic != r.Topic:
		return []string{"a " + env.Type + " belongs on topic " + typ.Topic + ", not " + r.Topic}
	}
	event, err := a.Codec.DecodeAtOnce(ctx, typ, r.Value)
	switch {
	case errs.KindOf(err) == errs.Transient:
		return []string{"its payload could not be checked: " + err.Error()}
	case err != nil:
		return []string{"its payload still cannot be decoded: " + err.Error()}
	case event.AggregateKey() != string(r.Key):
		return []string{"its key is not the event's key " + event.AggregateKey()}
	}
	return nil
}
