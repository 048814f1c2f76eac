// An EPR in C# by folders: drops one message, and takes away what comes until its outcome is here.
//
//     mcs -r:System.Runtime.Serialization examples/EprByFolders.cs
//     mono examples/EprByFolders.exe spool referral.json received
// The first folder is the provider's `spool_dir`. With .NET: the only file of a console project.
using System;
using System.IO;
using System.Linq;
using System.Runtime.Serialization;
using System.Runtime.Serialization.Json;
using System.Threading;

[DataContract] class Told // of a receipt or a notice, what is used here
{
    [DataMember] public string request_id = "", kind = "", means = "";

    public static Told In(string file)
    {
        using (var stream = File.OpenRead(file))
            return (Told)new DataContractJsonSerializer(typeof(Told)).ReadObject(stream);
    }
}
static class EprByFolders
{
    static readonly string[] First = { "notice", "answer" }; // what they belong to follows

    // Hands the message over and returns its name. A name is used once.
    static string Drop(string outbox, string message)
    {
        string name = Guid.NewGuid().ToString(), file = name + Path.GetExtension(message);
        string half = Path.Combine(outbox, "tmp", file);
        File.Copy(message, half);
        File.Move(half, Path.Combine(outbox, "new", file)); // nobody reads half a file
        return name;
    }

    // Takes away one notice and what belongs to it; `last` was written last, and goes last.
    static Told Take(string inbox, string received, string last)
    {
        var name = Path.GetFileName(last).Split('.');
        foreach (var file in Directory.GetFiles(inbox, name[0] + ".*").OrderBy(each => each == last))
        {
            File.Delete(Path.Combine(received, Path.GetFileName(file))); // a crash may repeat it
            File.Move(file, Path.Combine(received, Path.GetFileName(file))); // a real EPR files it
        }
        string about = name[1] == "message" ? name[0] + ".notice.json" : Path.GetFileName(last);
        var told = Told.In(Path.Combine(received, about)); // after a crash it was here before
        Console.WriteLine(told.kind + ": " + told.means); // people are shown what it means
        return told;
    }

    static int Main(string[] given)
    {
        Directory.CreateDirectory(given[2]);
        string outbox = Path.Combine(given[0], "outbox"), name = Drop(outbox, given[1]), mine;
        string receipt = Path.Combine(outbox, "accepted", name + ".receipt.json");
        string refused = Path.Combine(outbox, "refused", name + ".reason.json"); // every broken rule
        for (; !File.Exists(receipt); Thread.Sleep(200))
            if (File.Exists(refused)) { Console.Error.WriteLine(File.ReadAllText(refused)); File.Delete(refused); return 1; }
        for (mine = Told.In(receipt).request_id; ; Thread.Sleep(200)) // a real EPR never ends
            foreach (var file in Directory.GetFiles(Path.Combine(given[0], "inbox", "new")).OrderBy(f => f))
                if (!First.Contains(Path.GetFileName(file).Split('.')[1])) // JSON or XML: as it came
                {
                    var told = Take(Path.GetDirectoryName(file), given[2], file);
                    if (told.kind == "outcome" && told.request_id == mine) return 0;
                }
    }
}
