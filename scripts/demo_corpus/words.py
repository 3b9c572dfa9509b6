"""The cast of the stories and the words for their world."""

GIRLS = [
    "Mia", "Anna", "Lily", "Rosa", "Emma", "Nora", "Ella", "Ruby", "Ivy", "Clara", "Lucy", "Zoe", "Maya", "Nina", "Tara", "Sara",
    "Lena", "Hana", "Amy", "Kate", "Molly", "Daisy", "Eva", "Ada", "Leah", "Alma", "Greta", "Elsa", "Wendy", "Poppy", "Hazel",
    "June", "Olive", "Pearl", "Stella", "Tina", "Uma", "Vera", "Willa", "Yuki", "Zara", "Bella", "Dora", "Fern", "Gwen", "Holly",
    "Juno", "Kira", "Luna", "Marta", "Penny", "Robin", "Suki", "Tilly", "Abby", "Agnes", "Aisha", "Alice", "Amber", "Amelia",
    "Anita", "April", "Aria", "Astrid", "Audrey", "Ava", "Beth", "Betty", "Camila", "Carmen", "Carol", "Celia", "Charlotte",
    "Chloe", "Claire", "Cora", "Dana", "Diana", "Edith", "Eleanor", "Elena", "Elise", "Eliza", "Elizabeth", "Emily", "Erin", "Esme",
    "Esther", "Fatima", "Fiona", "Flora", "Frida", "Gina", "Grace", "Hannah", "Harriet", "Heidi", "Helen", "Ida", "Ines", "Ingrid",
    "Irene", "Iris", "Isabel", "Jade", "Jane", "Jasmine", "Jenny", "Joan", "Josie", "Julia", "Kaya", "Laila", "Laura", "Leila",
    "Leni", "Linda", "Lisa", "Lola", "Lorna", "Louise", "Lydia", "Mabel", "Maria", "Mary", "Matilda", "Mei", "Mila", "Mina",
    "Miriam", "Nadia", "Naomi", "Nell", "Nelly", "Noor", "Paula", "Petra", "Phoebe", "Priya", "Rachel", "Rita", "Rosie", "Sadie",
    "Sally", "Selma", "Sofia", "Sophie", "Susan", "Sylvia", "Thea", "Trudy", "Violet", "Viola", "Yara",
]
BOYS = [
    "Tom", "Ben", "Sam", "Max", "Leo", "Finn", "Jack", "Noah", "Theo", "Oscar", "Hugo", "Milo", "Eli", "Adam", "Luke", "Owen",
    "Jake", "Tim", "Dan", "Nico", "Omar", "Ravi", "Ken", "Paul", "Peter", "Simon", "Victor", "Will", "Felix", "Ned", "Otto", "Rory",
    "Alan", "Bruno", "Carl", "David", "Emil", "Frank", "George", "Henry", "Ivan", "Joey", "Kai", "Liam", "Martin", "Neil", "Pedro",
    "Ray", "Toby", "Walter", "Zack", "Arlo", "Aaron", "Albert", "Alex", "Alfie", "Ali", "Andy", "Anton", "Archie", "Arthur", "Axel",
    "Barney", "Basil", "Billy", "Bobby", "Boris", "Caleb", "Charlie", "Chris", "Colin", "Daniel", "Dario", "Dennis", "Diego",
    "Eddie", "Edgar", "Edward", "Elias", "Eric", "Ernie", "Ethan", "Ezra", "Fred", "Gabriel", "Gavin", "Hans", "Harry", "Hassan",
    "Hector", "Henrik", "Howard", "Ian", "Isaac", "Jacob", "James", "Jamal", "Jasper", "Jim", "Joe", "John", "Jonas", "Jonah",
    "Jordan", "Joseph", "Josh", "Juan", "Julian", "Karim", "Karl", "Kevin", "Kurt", "Lars", "Lenny", "Leon", "Louis", "Lucas",
    "Malik", "Marco", "Mark", "Mason", "Mateo", "Matt", "Mike", "Morris", "Nathan", "Nick", "Nils", "Norman", "Oliver", "Olaf",
    "Pablo", "Percy", "Philip", "Quentin", "Ralph", "Rex", "Robert", "Rufus", "Samir", "Scott", "Seth", "Silas", "Stefan", "Steve",
    "Sven", "Ted", "Thomas", "Timmy", "Tobias", "Tony", "Tyler", "Vincent", "Warren", "Wilbur", "William", "Yusuf",
]
PET_NAMES = [
    "Pip", "Bramble", "Hopper", "Fuzzy", "Clover", "Button", "Nutmeg", "Pepper", "Biscuit", "Ginger", "Mossy", "Tumble", "Acorn",
    "Pebble", "Dusty", "Maple", "Sunny", "Twig", "Waffle", "Honey", "Cocoa", "Rusty", "Snowy", "Willow", "Bean", "Muffin", "Berry",
    "Cricket", "Dapple", "Echo", "Flick", "Gus", "Hickory", "Juniper", "Kip", "Misty", "Nibble", "Olly", "Patch", "Quill", "Rolo",
    "Skip", "Tansy", "Whisk", "Ziggy", "Banjo", "Basil", "Bella", "Biff", "Blossom", "Bobbin", "Bubbles", "Buttercup", "Caramel",
    "Chestnut", "Chip", "Cookie", "Copper", "Cotton", "Crumb", "Daisy", "Dandelion", "Domino", "Dot", "Feather", "Fidget",
    "Freckle", "Fudge", "Ginny", "Hazel", "Inky", "Jasper", "Jellybean", "Licorice", "Lulu", "Mango", "Marble", "Marshmallow",
    "Mittens", "Mocha", "Noodle", "Oats", "Olive", "Paddle", "Peach", "Peanut", "Petal", "Pickle", "Pippin", "Plum", "Poppy",
    "Puddle", "Pumpkin", "Raisin", "Ripple", "Rocket", "Rosie", "Saffron", "Scout", "Shadow", "Smoky", "Socks", "Spark", "Speckle",
    "Sprout", "Sugar", "Thistle", "Thumper", "Toffee", "Topaz", "Truffle", "Tulip", "Velvet", "Wiggle", "Wink", "Zip",
]
SYLL_A = [
    "Ba", "Be", "Da", "Do", "Fa", "Fi", "Ga", "Jo", "Ka", "Ki", "La", "Lo", "Ma", "Mo", "Na", "Ne", "Pa", "Po", "Ra", "Ri", "Sa",
    "So", "Ta", "Ti", "Va", "Wi", "Ya", "Zo", "Bri", "Cla", "Tre", "Flo",
]
SYLL_B = ["ra", "la", "na", "mi", "ri", "do", "ko", "ta", "vi", "li", "bo", "no", "sha", "len", "rin", "mel", "dan", "ro", "ni", "lo"]
SYLL_C = ["a", "o", "y", "ie", "en", "el", "in", "et", "ka", "na", "la"]

FOREST = [
    "fox", "rabbit", "bear", "mouse", "squirrel", "hedgehog", "owl", "deer", "badger", "otter", "frog", "duck", "mole", "raccoon",
    "beaver", "turtle", "wolf", "bunny", "hare", "weasel", "skunk", "chipmunk", "moose", "lynx", "marten", "toad", "crow", "robin",
    "sparrow", "woodpecker", "bat", "snail", "beetle", "ant", "bee", "caterpillar", "lizard", "swan", "boar",
]
FARM = [
    "cat", "dog", "puppy", "kitten", "hen", "pig", "goat", "lamb", "pony", "donkey", "goose", "cow", "chicken", "rooster", "sheep",
    "calf", "turkey", "horse", "hamster", "foal", "bull", "piglet", "duckling",
]
WILD = [
    "elephant", "lion", "monkey", "tiger", "giraffe", "penguin", "parrot", "zebra", "hippo", "koala", "panda", "camel", "kangaroo",
    "crocodile", "rhino", "leopard", "gorilla", "flamingo", "seal", "whale", "dolphin", "crab", "walrus", "buffalo", "ostrich",
    "snake", "toucan", "turtle", "octopus",
]
FANCY = [
    "robot", "dragon", "giant", "elf", "fairy", "wizard", "troll", "unicorn", "mermaid", "knight", "witch", "ghost", "snowman",
    "goblin", "doll", "teddy bear", "toy soldier", "ogre", "pirate", "astronaut", "princess", "prince",
]
WORKERS = [
    "baker", "fisherman", "farmer", "gardener", "king", "queen", "sailor", "tailor", "clockmaker", "miller", "shepherd", "painter",
    "astronaut", "pirate", "doctor", "teacher", "carpenter", "mailman", "cook", "captain", "musician", "blacksmith", "woman", "man",
    "woodcutter", "weaver", "potter", "librarian", "beekeeper", "soldier", "hunter", "inventor", "singer", "writer", "driver",
    "nurse", "merchant",
]
WINGS = {
    "owl", "duck", "hen", "goose", "penguin", "parrot", "crow", "robin", "sparrow", "woodpecker", "bat", "bee", "swan", "chicken", "rooster",
    "turkey", "duckling", "flamingo", "ostrich", "toucan",
}
HOOVES = {"deer", "goat", "lamb", "pony", "donkey", "cow", "zebra", "giraffe", "moose", "boar", "sheep", "calf", "horse", "foal", "bull", "camel", "unicorn", "buffalo"}

MALE = {"king", "wizard", "giant", "fisherman", "rooster", "bull", "snowman", "prince", "mailman", "man", "woodcutter", "ogre", "toy soldier"}
FEMALE = {"queen", "fairy", "hen", "cow", "mermaid", "witch", "doll", "princess", "woman", "chicken"}

YOUNG_ADJ = [
    "little", "small", "young", "curious", "kind", "brave", "shy", "cheerful", "clever", "gentle", "quiet", "playful", "friendly",
    "thoughtful", "lively", "tiny", "happy", "lonely", "silly", "polite", "patient", "dreamy", "stubborn", "honest", "sleepy", "bold",
]
OLD_ADJ = ["old", "old", "old", "kind old", "wise old", "gentle old", "cheerful old", "tired old", "lonely old", "friendly old", "clever old", "very old"]

HOMES = {
    "child": [
        "in a small house near the woods", "in a quiet village by the sea", "in a busy town by the river",
        "on a farm at the foot of a green hill", "in a little cottage by the lake", "in a tall house on a narrow street",
        "in a yellow house with a big garden", "in a small town between two hills", "in a village high in the mountains",
        "in a red house on the edge of town", "in a big city full of lights", "in a tiny village in the desert", "on a small island",
        "in a noisy house with many brothers and sisters", "next to a little park", "near the old railway station", "by the river",
        "in a valley where the apples grew", "on the top floor of a very tall house", "in an old mill by the stream", "near the edge of the world",
        "at the end of a long and dusty road", "above a bakery in the middle of town", "in a white house near the harbor",
    ],
    "forest": [
        "in a hollow tree", "in a cozy burrow under the hill", "at the edge of a deep forest", "beside a clear pond",
        "under the roots of an old oak tree", "in a quiet valley full of flowers", "deep in the forest",
        "near a bend in the river", "in a little den between the rocks",
        "in the middle of the woods", "behind a big waterfall", "in an old garden behind a stone wall", "at the foot of a mountain",
        "in the shade of a tall pine tree", "under a bridge", "by a small stream", "on the sunny side of the hill", "in the deep, dark woods",
    ],
    "farm": [
        "on a farm at the foot of a green hill", "in a warm barn full of hay", "on a little farm near the river",
        "in a quiet village by the sea", 
        "next to a field of yellow flowers", "in a small stable", "on a busy farm with many animals", "in a garden full of cabbages",
        "behind an old red barn", "on a windy farm by the lake",
    ],
    "wild": [
        "in a land far away", "beside a wide blue river", "near a waterhole under the tall trees",
        "near the warm sea", "in the tall grass", "by a quiet bay", "where the mountains meet the sea", "far away in the south",
        "on a green island", "in a valley where the sun always shone", "at the edge of the jungle",
    ],
    "fancy": [
        "in an old lighthouse by the sea", "in a crooked tower on a hill", "in a dusty workshop at the edge of town",
        "in a castle above the clouds", "on a small round moon", "in a big old castle", "on an island in the middle of the sea",
        "in a forgotten garden", "in a toy shop in the city", "under a stone bridge", "at the end of the rainbow",
        "in a cave high in the mountains", "deep in the forest", "in a small house made of stones",
        "in a land far away", "in a quiet village by the sea",
    ],
    "worker": [
        "by the harbor", "in a house full of books", "next to the market", "in a big city full of lights", "at the end of a long road",
        "on a hill above the town", "near the old railway station", "in a small wooden house", "in a kingdom by the sea",
        "in a quiet village by the sea", "in a small town between two hills", "in a little cottage by the lake",
        "in a village high in the mountains", "in a land far away", "in a tall house on a narrow street",
    ],
}
HOBBIES = [
    "sing", "explore", "draw pictures", "count the stars", "listen to stories", "climb trees", "collect smooth stones",
    "ask questions", "watch the clouds", "make new friends", "play by the river", "dance in the wind", "look for shells",
    "build things", "whistle happy songs", "pick flowers", "tell jokes", "help others", "bake little cakes", "watch the stars",
    "tell stories", "look at old maps", "walk in the rain", "count things", "play the drum", "sleep in the sun",
    "run through the grass", "read about faraway lands", "fix broken things", "watch the ships", "talk to the birds",
    "ride down the hill", "swim in the lake", "grow vegetables", "look for mushrooms", "make up new words", "paint pictures",
    "play tricks", "wear funny hats", "laugh at silly things", "think about big questions", "dream of the sea", "jump over puddles",
    "catch the wind", "write little poems", "feed the ducks", "watch the snow fall", "play hide and seek",
]

COLORS = ["black", "gray", "red", "blue", "green", "yellow", "orange", "purple", "white", "silver", "golden", "pink", "brown"]
TOYS = [
    "ball", "kite", "hat", "scarf", "drum", "boat", "bell", "cup", "whistle", "lantern", "basket", "umbrella", "ribbon", "button",
    "box", "book", "coat", "key", "top", "marble", "spoon", "mirror", "bottle", "candle", "compass", "feather", "flute", "puppet",
    "blanket", "pillow", "pencil", "bag", "mitten", "clock", "cart", "necklace", "map", "shell", "stone", "ring", "jar", "teapot",
    "watch", "bucket", "flag", "crown", "doll", "train", "wheel", "ladder",
]
OBJ_ADJ = ["lovely", "small", "funny", "striped", "pretty", "special", "little", "old", "shiny", "wooden", "tiny", "round", "soft", "big"]
SOFT = {"hat", "scarf", "ribbon", "coat", "blanket", "pillow", "mitten", "flag", "feather", "map", "kite"}

WX = {
    "out": ["sunny", "warm", "windy", "bright", "breezy", "cool", "cloudy", "clear", "fine"],
    "in": ["sunny", "warm", "windy", "bright", "rainy", "cold", "cloudy", "gray", "chilly", "rainy", "foggy", "quiet"],
    "rain": ["rainy", "rainy", "gray", "wet", "stormy"],
    "storm": ["cloudy", "gray", "windy", "dark", "stormy"],
    "snow": ["snowy", "cold", "icy", "white", "frosty"],
    "night": ["quiet", "clear", "cool", "warm", "still"],
}
WX_LINE = {
    "sunny": ["The sun was shining and the sky was blue.", "The sun was warm on the [grass|roof|road]."],
    "warm": ["The air was [soft|sweet] and warm.", "Bees hummed in the flowers."],
    "windy": ["The wind pushed the clouds across the sky.", "The wind [danced|played] in the leaves."],
    "bright": ["The whole world seemed to shine.", "Birds were singing in every tree."],
    "breezy": ["A soft breeze moved the grass.", "The leaves whispered in the breeze."],
    "cool": ["The air was fresh and clean.", "There was dew on the grass."],
    "cloudy": ["Soft gray clouds covered the sky.", "The sun was hiding behind the clouds."],
    "clear": ["There was not one cloud in the sky.", "The sky was clear and blue."],
    "fine": ["It was a perfect day to be outside.", "The birds were singing."],
    "rainy": ["Rain tapped on the [roof|leaves].", "The rain made little puddles everywhere.", "Drops of rain fell from the gray sky."],
    "wet": ["Everything was wet, and the puddles were deep.", "The rain would not stop."],
    "gray": ["The sky was gray and heavy.", "Gray clouds hung low over the hills."],
    "stormy": ["Thunder rumbled far away.", "Dark clouds rolled over the hills."],
    "dark": ["Black clouds filled the sky.", "The sky grew darker and darker."],
    "cold": ["The air was cold and still.", "A cold wind blew from the north."],
    "chilly": ["The air was chilly.", "It was a good day for a warm coat."],
    "foggy": ["Fog covered everything like a soft blanket.", "The fog was so thick that the trees looked like ghosts."],
    "quiet": ["Everything was quiet and still.", "Not a sound could be heard."],
    "snowy": ["Snow covered the ground.", "Big white flakes fell from the sky."],
    "icy": ["The pond was covered with ice.", "Icicles hung from every branch."],
    "white": ["The whole world was white with snow.", "Snow lay on every branch."],
    "frosty": ["Frost sparkled on the grass.", "Every branch was covered with frost."],
    "still": ["The stars were bright.", "The moon was round and bright."],
}
