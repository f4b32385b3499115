package app_test
import ("testing";"encoding/json";"net/http";"strings";"fmt")
func TestZZ(t *testing.T){ r:=start(t); var m struct{Result struct{Tools []json.RawMessage}}
 _=json.Unmarshal([]byte(r.send(http.MethodPost, r.mcp, r.as.mint(all), list).body),&m)
 for _,x:=range m.Result.Tools { var d struct{Name string}; _=json.Unmarshal(x,&d); fmt.Println(len(x), d.Name); if strings.HasPrefix(d.Name,"calendar_"){fmt.Println(string(x))}}}
