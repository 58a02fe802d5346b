package archive

import (
	"bytes"
	"testing"

	"github.com/dgraph-io/badger/v4/pb"
	"google.golang.org/protobuf/proto"
)

var sampleRecords = []Record{
	{Key: []byte("k"), Value: []byte("v"), UserMeta: 7, Version: 1},
	{Key: []byte{0}, Version: 1<<63 + 5, Meta: MetaDelete},
	{Key: bytes.Repeat([]byte("long"), 15000), Value: bytes.Repeat([]byte{0xff}, 300), ExpiresAt: 1 << 40, Version: 300, Meta: MetaDiscardEarlier},
	{Key: []byte("merge"), Value: bytes.Repeat([]byte("m"), 127), Version: 127, Meta: MetaMerge, UserMeta: 255},
	{Key: []byte("empty value"), Version: 128},
}

// TestRecordIsBadgersProto proves that the hand-written bytes are those of
// proto.Marshal on Badger's own types.
func TestRecordIsBadgersProto(t *testing.T) {
	var got []byte
	list := new(pb.KVList)
	for i := range sampleRecords {
		r := &sampleRecords[i]
		got = AppendRecord(got, r)
		list.Kv = append(list.Kv, &pb.KV{Key: r.Key, Value: r.Value, UserMeta: []byte{r.UserMeta},
			Version: r.Version, ExpiresAt: r.ExpiresAt, Meta: []byte{r.Meta}})
	}
	want, err := proto.Marshal(list)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Fatalf("got\n%x\nwant\n%x", got, want)
	}
	for i := range sampleRecords {
		var r Record
		if got, err = parseRecord(got, &r); err != nil {
			t.Fatal(err)
		}
		if !sameRecord(&r, &sampleRecords[i]) {
			t.Errorf("record %d came back as %+v", i, r)
		}
	}
	if len(got) != 0 {
		t.Errorf("%d bytes are left", len(got))
	}
}

func sameRecord(a, b *Record) bool {
	return bytes.Equal(a.Key, b.Key) && bytes.Equal(a.Value, b.Value) && a.UserMeta == b.UserMeta &&
		a.Meta == b.Meta && a.Version == b.Version && a.ExpiresAt == b.ExpiresAt
}

// FuzzRecord: whatever parses, Badger's own decoder reads the same; nothing
// panics.
func FuzzRecord(f *testing.F) {
	for i := range sampleRecords {
		f.Add(AppendRecord(nil, &sampleRecords[i]))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var r Record
		rest, err := parseRecord(data, &r)
		if err != nil {
			return
		}
		if len(rest) >= len(data) {
			t.Fatal("nothing was consumed")
		}
		list := new(pb.KVList)
		if err := proto.Unmarshal(data[:len(data)-len(rest)], list); err != nil || len(list.Kv) != 1 {
			t.Fatalf("Badger reads %d records: %v", len(list.Kv), err)
		}
		kv := list.Kv[0]
		if !bytes.Equal(kv.Key, r.Key) || !bytes.Equal(kv.Value, r.Value) || kv.Version != r.Version || kv.ExpiresAt != r.ExpiresAt {
			t.Fatalf("brock reads %+v, Badger %+v", r, kv)
		}
	})
}
