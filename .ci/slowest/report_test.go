package main

import (
	"errors"
	"strings"
	"testing"
)

func TestReport(t *testing.T) {
	tests := []struct {
		name, events, want string
	}{
		{
			name: "passing tests show one line per package and the slowest first",
			events: `{"Action":"start","Package":"x/a"}
{"Action":"run","Package":"x/a","Test":"TestQuick"}
{"Action":"output","Package":"x/a","Test":"TestQuick","Output":"=== RUN   TestQuick\n"}
{"Action":"output","Package":"x/a","Test":"TestQuick","Output":"--- PASS: TestQuick (0.10s)\n"}
{"Action":"pass","Package":"x/a","Test":"TestQuick","Elapsed":0.1}
{"Action":"pass","Package":"x/a","Test":"TestSlow/part","Elapsed":3}
{"Action":"pass","Package":"x/a","Test":"TestSlow","Elapsed":3}
{"Action":"pass","Package":"x/a","Test":"TestMiddle","Elapsed":0.2}
{"Action":"output","Package":"x/a","Output":"chatter\n"}
{"Action":"output","Package":"x/a","Output":"PASS\n"}
{"Action":"output","Package":"x/a","Output":"ok  \tx/a\t3.4s\n"}
{"Action":"pass","Package":"x/a","Elapsed":3.4}
{"Action":"output","Package":"x/b","Output":"?   \tx/b\t[no test files]\n"}
{"Action":"skip","Package":"x/b","Elapsed":0}
`,
			want: "ok  \tx/a\t3.4s\n" +
				"?   \tx/b\t[no test files]\n" +
				"\n2 slowest of 3 tests:\n" +
				"    3.00s  x/a TestSlow\n" +
				"    0.20s  x/a TestMiddle\n",
		},
		{
			name: "a failing test shows its output, a passing one beside it does not",
			events: `{"Action":"output","Package":"x/a","Test":"TestGood","Output":"    good\n"}
{"Action":"output","Package":"x/a","Test":"TestBad","Output":"=== RUN   TestBad\n"}
{"Action":"output","Package":"x/a","Test":"TestBad","Output":"    bad_test.go:7: got 1\n"}
{"Action":"pass","Package":"x/a","Test":"TestGood","Elapsed":0}
{"Action":"output","Package":"x/a","Test":"TestBad","Output":"--- FAIL: TestBad (0.00s)\n"}
{"Action":"fail","Package":"x/a","Test":"TestBad","Elapsed":0}
{"Action":"output","Package":"x/a","Output":"FAIL\n"}
{"Action":"output","Package":"x/a","Output":"FAIL\tx/a\t0.1s\n"}
{"Action":"fail","Package":"x/a","Elapsed":0.1}
`,
			want: "    bad_test.go:7: got 1\n" +
				"--- FAIL: TestBad (0.00s)\n" +
				"FAIL\tx/a\t0.1s\n" +
				"\n2 slowest of 2 tests:\n" +
				"    0.00s  x/a TestGood\n" +
				"    0.00s  x/a TestBad\n" +
				"\nfailed:\nFAIL\tx/a\tTestBad\nFAIL\tx/a\n",
		},
		{
			name: "a crash shows what the unfinished tests printed",
			events: `{"Action":"output","Package":"x/a","Test":"TestB","Output":"panic: boom\n"}
{"Action":"output","Package":"x/a","Test":"TestA","Output":"    working\n"}
{"Action":"output","Package":"x/a","Output":"FAIL\tx/a\t0.1s\n"}
{"Action":"fail","Package":"x/a","Elapsed":0.1}
`,
			want: "    working\npanic: boom\nFAIL\tx/a\t0.1s\n" +
				"\n0 slowest of 0 tests:\n" +
				"\nfailed:\nFAIL\tx/a\n",
		},
		{
			name: "build errors and foreign lines are shown, with or without a last line feed",
			events: `{"ImportPath":"x/a","Action":"build-output","Output":"# x/a\n"}
{"ImportPath":"x/a","Action":"build-fail"}
{"Action":"output","Package":"x/a","Output":"FAIL\tx/a [build failed]\n"}
{"Action":"fail","Package":"x/a","Elapsed":0,"FailedBuild":"x/a"}
signal: killed`,
			want: "# x/a\nFAIL\tx/a [build failed]\nsignal: killed" +
				"\n0 slowest of 0 tests:\n" +
				"\nfailed:\nFAIL\tx/a\n",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var out strings.Builder
			r := newReport(&out)
			if err := r.follow(strings.NewReader(tt.events)); err != nil {
				t.Fatal(err)
			}
			if err := r.close(2); err != nil {
				t.Fatal(err)
			}
			if out.String() != tt.want {
				t.Errorf("got:\n%s\nwant:\n%s", out.String(), tt.want)
			}
		})
	}
}

var errFull = errors.New("disk full")

type fullDisk struct{}

func (fullDisk) Write([]byte) (int, error) { return 0, errFull }

func TestReportTellsThatItCannotPrint(t *testing.T) {
	r := newReport(fullDisk{})
	err := r.follow(strings.NewReader("a line\n"))
	if !errors.Is(err, errFull) {
		t.Errorf("got %v, want %v", err, errFull)
	}
}
