package events_test

import (
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"eventshop.example/pkg/event"
	"eventshop.example/pkg/events"
)

// record has the parts of a schema file that these tests read.
type record struct {
	Type      string
	Namespace string
	Name      string
	Doc       string
	Fields    []struct {
		Name string
		Doc  string
		Type json.RawMessage
	}
}

// schemaFiles reads every schema of the repository.
func schemaFiles(t *testing.T) map[string][]byte {
	t.Helper()
	root := os.DirFS(filepath.Join("..", "..", "schemas"))
	paths, err := fs.Glob(root, "*/*.avsc")
	if err != nil || len(paths) == 0 {
		t.Fatalf("find schemas: %d files, %v", len(paths), err)
	}
	files := make(map[string][]byte, len(paths))
	for _, path := range paths {
		content, err := fs.ReadFile(root, path)
		if err != nil {
			t.Fatal(err)
		}
		files[path] = content
	}
	return files
}

func parseRecord(t *testing.T, schema []byte) record {
	t.Helper()
	var r record
	if err := json.Unmarshal(schema, &r); err != nil {
		t.Fatalf("%v in %s", err, schema)
	}
	return r
}

func TestEverySchemaFileIsInTheCatalogueAndViceVersa(t *testing.T) {
	t.Parallel()
	var files, catalogue = map[string]bool{}, map[string]bool{}
	for path, content := range schemaFiles(t) {
		r := parseRecord(t, content)
		files[r.Namespace+"."+r.Name] = true

		snake := regexp.MustCompile(`([a-z])([A-Z])`).ReplaceAllString(r.Name, "${1}_$2")
		family := strings.Split(r.Namespace, ".")[1]
		if want := family + "/" + strings.ToLower(snake) + ".avsc"; path != want {
			t.Errorf("%s is in file %s, want %s", r.Name, path, want)
		}
	}
	for _, typ := range events.Catalogue().Types() {
		catalogue[typ.Subject] = true
	}
	if diff := cmp.Diff(files, catalogue); diff != "" {
		t.Errorf("schema files (-) and catalogue (+) differ:\n%s", diff)
	}
}

func TestCatalogueEntriesAgreeWithTheirTypes(t *testing.T) {
	t.Parallel()
	topics := map[string]bool{}
	for _, topic := range events.Topics() {
		topics[topic.Name] = true
	}
	for _, typ := range events.Catalogue().Types() {
		zero := typ.New()
		if zero.EventType() != typ.Name || zero.AvroSchema() != typ.Schema {
			t.Errorf("%s: New makes a %T", typ.Name, zero)
		}
		// The generated schema has the record's full name in "name".
		if r := parseRecord(t, []byte(typ.Schema)); r.Name != typ.Subject {
			t.Errorf("%s: subject is %s, its schema's record %s", typ.Name, typ.Subject, r.Name)
		}
		if !topics[typ.Topic] {
			t.Errorf("%s: topic %q is not in Topics", typ.Name, typ.Topic)
		}
		if typ.AggregateType == "" {
			t.Errorf("%s: no aggregate type", typ.Name)
		}
		if found, ok := events.Catalogue().Lookup(typ.Name); !ok || found.Subject != typ.Subject {
			t.Errorf("Lookup(%q) = %v, %v", typ.Name, found.Subject, ok)
		}
	}
	if typ, ok := events.Catalogue().Lookup("OrderEvent"); ok {
		t.Errorf("Lookup of an unknown name found %s", typ.Subject)
	}
}

func TestEveryRecordAndFieldHasADoc(t *testing.T) {
	t.Parallel()
	for path, content := range schemaFiles(t) {
		checkDocs(t, path, content)
	}
}

// checkDocs descends into records within fields, arrays and maps.
func checkDocs(t *testing.T, path string, schema json.RawMessage) {
	t.Helper()
	if len(schema) == 0 || schema[0] != '{' {
		return // a primitive type or a reference by name
	}
	var nested struct{ Items, Values json.RawMessage }
	if err := json.Unmarshal(schema, &nested); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	checkDocs(t, path+"[]", nested.Items)
	checkDocs(t, path+"{}", nested.Values)

	r := parseRecord(t, schema)
	if r.Type != "record" {
		return
	}
	if !strings.HasPrefix(r.Doc, r.Name+" ") {
		t.Errorf("%s: the doc of record %s does not begin with its name: %q", path, r.Name, r.Doc)
	}
	for _, f := range r.Fields {
		if len(f.Doc) < 10 || !strings.HasSuffix(f.Doc, ".") {
			t.Errorf("%s: field %s has no doc that is a sentence: %q", path, f.Name, f.Doc)
		}
		checkDocs(t, path+" "+f.Name, f.Type)
	}
}

func TestEveryEventHasOrderAndTime(t *testing.T) {
	t.Parallel()
	for _, typ := range events.Catalogue().Types() {
		r := parseRecord(t, []byte(typ.Schema))
		if first := r.Fields[0].Name; first != "orderId" {
			t.Errorf("%s: first field is %s, not orderId", typ.Name, first)
		}
		last := r.Fields[len(r.Fields)-1]
		if last.Name != "occurredAt" || !strings.Contains(string(last.Type), "timestamp-micros") {
			t.Errorf("%s: last field is %s %s, not the time occurredAt", typ.Name, last.Name, last.Type)
		}
	}
	if key := (events.OrderShipped{OrderID: "o-1"}).AggregateKey(); key != "o-1" {
		t.Errorf("AggregateKey() = %q, want the order id", key)
	}
}

func TestTypeOf(t *testing.T) {
	t.Parallel()
	if got := events.TypeOf[events.PaymentVoided]().Name; got != "PaymentVoided" {
		t.Errorf("TypeOf a struct = %s", got)
	}
	if got := events.TypeOf[*events.PaymentVoided]().Name; got != "PaymentVoided" {
		t.Errorf("TypeOf a pointer = %s", got)
	}
	defer func() {
		if recover() == nil {
			t.Error("TypeOf a foreign type did not panic")
		}
	}()
	events.TypeOf[PaymentVoided]()
}

// PaymentVoided is a foreign type with the name of a known one.
type PaymentVoided struct{ events.PaymentVoided }

func TestCatalogueIsNotShared(t *testing.T) {
	t.Parallel()
	events.Catalogue().Types()[0].Name = "changed"
	events.Topics()[0].Config["retention.ms"] = "1"
	if events.Catalogue().Types()[0].Name == "changed" || events.Topics()[0].Config["retention.ms"] != "-1" {
		t.Error("a caller can change what others get")
	}
}

func TestTopicsOfConsumerGroups(t *testing.T) {
	t.Parallel()
	dead := event.DeadLetterTopic(events.TopicOrderEvents, "payment")
	retry := event.RetryTopic(events.TopicOrderEvents, "payment")
	if dead.Name != "order.events.payment.dlq" || retry.Name != "order.events.payment.retry" {
		t.Errorf("names are %q and %q", dead.Name, retry.Name)
	}
	for _, topic := range []event.Topic{dead, retry} {
		if topic.Partitions != event.Partitions || topic.Config["retention.ms"] == "" {
			t.Errorf("%s has %d partitions and config %v", topic.Name, topic.Partitions, topic.Config)
		}
	}
}
